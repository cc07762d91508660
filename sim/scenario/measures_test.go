package scenario

import (
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/report"
)

// TestMeasuresAreSet: what an expectation can name of a traffic, the generators
// measure. AddRegained adds "regained".
func TestMeasuresAreSet(t *testing.T) {
	spread := meter.NewSpread()
	spread.Add(time.Millisecond)
	transfers := meter.Transfers{Completion: spread, Seen: &meter.Flows{}}
	for kind, set := range map[string]func(*meter.Outcome){
		"tcp":  func(o *meter.Outcome) { o.SetTCP(transfers, "cubic") },
		"http": func(o *meter.Outcome) { o.SetHTTP(transfers) },
		"udp":  func(o *meter.Outcome) { o.SetUDP(meter.Datagrams{Order: &meter.Order{}, Delay: spread}) },
		"ping": func(o *meter.Outcome) { o.SetPing(1, spread, report.Series{}) },
		"dns":  func(o *meter.Outcome) { o.SetDNS(1, 0, spread) },
	} {
		var o meter.Outcome
		set(&o)
		for _, path := range measuresOf(Traffic{Kind: kind, Size: 1}) {
			if path != "regained" && !measured(o.Values, strings.Split(path, ".")) {
				t.Errorf("%s: %s is not among %v", kind, path, o.Values)
			}
		}
	}
}
