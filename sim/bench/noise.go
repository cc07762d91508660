package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
)

// What a machine may do besides before the figures say little.
const (
	mostStolen = 0.02 // share of processor time taken by the hypervisor
	mostBusy   = 0.05 // share of processor time in use while no tunnel is loaded
	mostDrift  = 0.5  // spread of the reference's figures over its pairs, by their median
)

// watch is how long the machine is looked at while no tunnel is loaded.
const watch = time.Second

// processorTime is how a machine's processors have spent their time since it
// started, in ticks: in all, in use, and what the hypervisor gave to others.
type processorTime struct{ all, busy, stolen float64 }

// share returns which shares of the time since an earlier moment were in use
// and stolen.
func (p processorTime) share(since processorTime) (busy, stolen float64) {
	all := max(1, p.all-since.all)
	return (p.busy - since.busy) / all, (p.stolen - since.stolen) / all
}

// atRest returns the share of the processor time in use while no tunnel is
// loaded: by whatever else the machine does.
func atRest(ctx context.Context) (busy float64, err error) {
	before := processors()
	if err := pause(ctx, watch); err != nil {
		return 0, err
	}
	busy, _ = processors().share(before)
	return busy, nil
}

// processors reads the machine's processor time. Without /proc/stat it is 0,
// and nothing is known to be stolen or in use.
func processors() (t processorTime) {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		v, err := strconv.ParseFloat(field, 64)
		// proc_stat(5): cpu user nice system idle iowait irq softirq steal; what
		// follows is part of user and nice.
		if err != nil || i > 8 {
			continue
		}
		t.all += v
		switch i {
		case 4, 5: // idle
		case 8:
			t.stolen = v
		default:
			t.busy += v
		}
	}
	return t
}

// noise says why the figures are doubtful, one reason per line; none when they
// are not.
func noise(stolen, busy float64, reference map[string][]float64) []string {
	var reasons []string
	if stolen > mostStolen {
		reasons = append(reasons, fmt.Sprintf("the hypervisor took %.0f %% of the processor time", 100*stolen))
	}
	if busy > mostBusy {
		reasons = append(reasons, fmt.Sprintf("%.0f %% of the processor time was in use while no tunnel was loaded", 100*busy))
	}
	for _, name := range sortedKeys(reference) {
		values := reference[name]
		if m := report.Median(values); len(values) > 1 && m > 0 {
			if spread := (slices.Max(values) - slices.Min(values)) / m; spread > mostDrift {
				reasons = append(reasons, fmt.Sprintf("%s of %s varied by %.0f %% between pairs", name, referenceName, 100*spread))
			}
		}
	}
	return reasons
}
