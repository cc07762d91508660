package traffic

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multilink-vpn/multilink/sim/call"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTCPForADuration(t *testing.T) {
	w := newWire(t)
	for _, direction := range []string{"down", "up"} {
		for _, family := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s over IPv%d", direction, family), func(t *testing.T) {
				out := run(t, w.job(scenario.Traffic{Kind: "tcp", Direction: direction, IP: family,
					Streams: 2, CC: "reno", Duration: 400 * time.Millisecond}))
				if number(t, out.Values, "goodput") <= 0 || number(t, out.Values, "bytes") <= 0 {
					t.Errorf("nothing arrived: %v", out.Values)
				}
				if number(t, out.Values, "failed") != 0 || out.Values["cc"] != "reno" {
					t.Errorf("failed or not reno: %v", out.Values)
				}
				// A cable is faster than the clock that tells retransmissions.
				if number(t, out.Values, "reordered") != 0 && number(t, out.Values, "retransmits") == 0 {
					t.Errorf("a cable reordered: %v", out.Values)
				}
				if v := number(t, out.Values, "spurious"); v < 0 || v > 0.1 {
					t.Errorf("a share of %v was sent again for nothing", v)
				}
				if got := len(out.Series["goodput"].V); got < 3 || got > 4 {
					t.Errorf("%d bins of 0.1 s in 0.4 s", got)
				}
			})
		}
	}
}

func TestTCPOfASize(t *testing.T) {
	w := newWire(t)
	const size = 3<<20 + 17
	out := run(t, w.job(scenario.Traffic{Kind: "tcp", Direction: "both", IP: 4, Streams: 2, Size: size}))
	for _, direction := range []string{"down", "up"} {
		if got := number(t, out.Values, direction+".bytes"); got != 2*size {
			t.Errorf("%s: %g bytes arrived of %d", direction, got, 2*size)
		}
		if p50, p99 := number(t, out.Values, direction+".fct.p50"), number(t, out.Values, direction+".fct.p99"); p50 <= 0 || p99 < p50 {
			t.Errorf("%s: completion times %g and %g", direction, p50, p99)
		}
		if number(t, out.Values, direction+".goodput") <= 0 {
			t.Errorf("%s: no goodput", direction)
		}
	}
}

func TestTCPThatBreaks(t *testing.T) {
	w := newWire(t)
	j := w.job(scenario.Traffic{Kind: "tcp", Direction: "down", IP: 4, Streams: 1, Duration: 800 * time.Millisecond})
	broken := make(chan time.Duration, 1)
	go func() {
		time.Sleep(time.Until(j.Origin.Add(200 * time.Millisecond)))
		_ = w.hostHandle.LinkSetDown(w.hostEnd)
		broken <- j.now()
	}()
	out := run(t, j)
	dead := (j.end() - <-broken).Seconds() // less if the machine was busy
	if stall := number(t, out.Values, "stall"); stall < dead/2 {
		t.Errorf("stall %g s though the cable was dead for the last %g s", stall, dead)
	}
}

func TestTCPWithoutAWay(t *testing.T) {
	w := newWire(t)
	j := w.job(scenario.Traffic{Kind: "tcp", Direction: "up", IP: 4, Streams: 1, Duration: 300 * time.Millisecond})
	j.Client.Device = "nowhere0"
	out, err := Run(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	if number(t, out.Values, "failed") != 1 || number(t, out.Values, "goodput") != 0 || number(t, out.Values, "stall") != 0.3 {
		t.Errorf("values %v", out.Values)
	}
	if len(out.Notes) != 1 || !strings.Contains(out.Notes[0], "nowhere0") {
		t.Errorf("notes %v", out.Notes)
	}
}

func TestUnknownCongestionControl(t *testing.T) {
	w := newWire(t)
	_, err := Run(context.Background(), w.job(scenario.Traffic{Kind: "tcp", IP: 4, CC: "cubicle", Duration: time.Second}))
	if err == nil || !strings.Contains(err.Error(), "cubicle") || !strings.Contains(err.Error(), "this kernel has: ") {
		t.Errorf("error %v", err)
	}
}

func TestUDP(t *testing.T) {
	w := newWire(t)
	for _, family := range []int{4, 6} {
		out := run(t, w.job(scenario.Traffic{Kind: "udp", Direction: "both", IP: family,
			Rate: 4e6, Packet: 500, Duration: 300 * time.Millisecond}))
		for _, direction := range []string{"down", "up"} {
			if sent := number(t, out.Values, direction+".sent"); sent <= 0 || sent > 300 {
				t.Errorf("%s: %g datagrams sent at 1000/s in 0.3 s", direction, sent)
			}
			if number(t, out.Values, direction+".loss") != 0 || number(t, out.Values, direction+".reordered") != 0 {
				t.Errorf("%s: a cable lost or reordered: %v", direction, out.Values)
			}
			if p50 := number(t, out.Values, direction+".delay.p50"); p50 <= 0 || p50 > patience.Seconds() {
				t.Errorf("%s: median delay %g s", direction, p50)
			}
		}
	}
}

func TestCall(t *testing.T) {
	w := newWire(t)
	for _, c := range []struct{ codec, direction string }{{"pcmu", "both"}, {"opus", "down"}, {"opus", "up"}} {
		t.Run(c.codec+" "+c.direction, func(t *testing.T) {
			t.Parallel()
			for _, family := range []int{4, 6} {
				out := run(t, w.job(scenario.Traffic{Kind: "rtp", Codec: c.codec, Direction: c.direction, IP: family,
					Duration: 500 * time.Millisecond}))
				prefixes := []string{""}
				if c.direction == "both" {
					prefixes = []string{"down.", "up."}
				}
				for _, at := range prefixes {
					if sent := number(t, out.Values, at+"sent"); sent <= 0 || sent > 25 {
						t.Errorf("%g packets sent at 50/s in 0.5 s", sent)
					}
					if number(t, out.Values, at+"loss") != 0 || number(t, out.Values, at+"duplicates") != 0 {
						t.Errorf("a cable lost or repeated: %v", out.Values)
					}
					if number(t, out.Values, at+"delay.p50") <= 0 || number(t, out.Values, at+"mos") <= 1 {
						t.Errorf("%v", out.Values)
					}
					if trace := out.Series[at+"delay"]; float64(len(trace.V)) != number(t, out.Values, at+"sent") {
						t.Errorf("a trace of %d delays", len(trace.V))
					}
				}
			}
		})
	}
}

// TestCallReports lasts until both parties have sent their first reports.
func TestCallReports(t *testing.T) {
	w := newWire(t)
	out := run(t, w.job(scenario.Traffic{Kind: "rtp", Codec: "pcmu", Direction: "up", IP: 4,
		Duration: call.ReportInterval/2 + 500*time.Millisecond}))
	if number(t, out.Values, "reports") != 1 {
		t.Errorf("%v", out.Values)
	}
}

func TestCallWithoutAWay(t *testing.T) {
	w := newWire(t)
	j := w.job(scenario.Traffic{Kind: "rtp", Codec: "pcmu", Direction: "both", IP: 4, Duration: 300 * time.Millisecond})
	j.Client.Device = "nowhere0"
	if _, err := Run(context.Background(), j); err == nil || !strings.Contains(err.Error(), "nowhere0") {
		t.Errorf("error %v", err)
	}
}

func TestPing(t *testing.T) {
	w := newWire(t)
	for _, family := range []int{4, 6} {
		out := run(t, w.job(scenario.Traffic{Kind: "ping", IP: family,
			Interval: 20 * time.Millisecond, Duration: 200 * time.Millisecond}))
		if number(t, out.Values, "sent") != 10 || number(t, out.Values, "loss") != 0 {
			t.Errorf("IPv%d: %v", family, out.Values)
		}
		low, high := number(t, out.Values, "rtt.min"), number(t, out.Values, "rtt.max")
		if low <= 0 || high < low || high > patience.Seconds() {
			t.Errorf("IPv%d: round trips of %g to %g s", family, low, high)
		}
	}
}

func TestPingUnanswered(t *testing.T) {
	w := newWire(t)
	if err := w.hostHandle.LinkSetDown(w.hostEnd); err != nil {
		t.Fatal(err)
	}
	out := run(t, w.job(scenario.Traffic{Kind: "ping", IP: 4, Interval: 20 * time.Millisecond, Duration: 100 * time.Millisecond}))
	if number(t, out.Values, "sent") != 5 || number(t, out.Values, "loss") != 1 {
		t.Errorf("%v", out.Values)
	}
}

func TestHTTP(t *testing.T) {
	w := newWire(t)
	for _, family := range []int{4, 6} {
		out := run(t, w.job(scenario.Traffic{Kind: "http", IP: family, Size: 1 << 20, Count: 3}))
		if number(t, out.Values, "bytes") != 3<<20 || number(t, out.Values, "failed") != 0 {
			t.Errorf("IPv%d: %v", family, out.Values)
		}
		if number(t, out.Values, "fct.p50") <= 0 || number(t, out.Values, "goodput") <= 0 {
			t.Errorf("IPv%d: %v", family, out.Values)
		}
	}
}

func TestHTTPCutOff(t *testing.T) {
	w := newWire(t)
	j := w.job(scenario.Traffic{Kind: "http", IP: 4, Size: 8 << 20, Count: 1000, Duration: 300 * time.Millisecond})
	out, err := Run(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	if number(t, out.Values, "failed") == 0 || len(out.Faults) != 0 {
		t.Errorf("1000 downloads in 0.3 s: %v, faults %v", out.Values, out.Faults)
	}
}

func TestDNS(t *testing.T) {
	w := newWire(t)
	out := run(t, w.job(scenario.Traffic{Kind: "dns", IP: 4, Interval: 20 * time.Millisecond, Duration: 200 * time.Millisecond}))
	if number(t, out.Values, "queries") != 10 || number(t, out.Values, "failed") != 0 || number(t, out.Values, "rtt.p50") <= 0 {
		t.Errorf("%v", out.Values)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	w := newWire(t)
	for _, kind := range []scenario.Traffic{
		{Kind: "tcp", Direction: "both", Streams: 1},
		{Kind: "udp", Direction: "both", Rate: 1e6, Packet: 100},
		{Kind: "rtp", Codec: "pcmu", Direction: "both"},
		{Kind: "ping", Interval: 10 * time.Millisecond},
		{Kind: "http", Size: 1 << 20, Count: 1 << 20},
		{Kind: "dns", Interval: 10 * time.Millisecond},
	} {
		t.Run(kind.Kind, func(t *testing.T) {
			kind.IP = 4
			ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
			defer cancel()
			if _, err := Run(ctx, w.job(kind)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the context's", err)
			}
		})
	}
}

func TestUnknownKind(t *testing.T) {
	_, err := Run(context.Background(), Job{Traffic: scenario.Traffic{Name: "call", Kind: "fax"}})
	if err == nil || err.Error() != `traffic call: no kind "fax"` {
		t.Errorf("error %v", err)
	}
}
