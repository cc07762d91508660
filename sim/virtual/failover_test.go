package virtual

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// failoverSeeds is how many runs of each scenario TestFailover makes: one where
// the suite runs with the race detector, which makes them ten times slower, 100
// in `make unit`'s second pass.
var failoverSeeds = flag.Int("failover-seeds", 1, "runs of each scenario of failing links")

// failover is a shipped scenario as TestFailover runs it.
type failover struct {
	name string
	set  []string // makes it shorter
	odd  []string // what every other run has besides
	// median bounds the median over the seeds of what measure names, if it names
	// something; the scenario's own expectations bound each run.
	measure string
	median  float64
}

// misses is how many of 100 runs of a scenario are known to miss its bounds
// (docs/moving.md).
var misses = map[string]int{"flapping-link": 2}

// short is a download over links of half the rate, of four seconds.
var short = []string{
	"duration=4s", "links.0.both.rate=10mbit", "links.1.both.rate=10mbit", "timeline.0.at=2s",
}

// returns is a download of eleven seconds, and an outage of one.
var returns = []string{
	"duration=11s", "links.0.both.rate=10mbit", "links.1.both.rate=10mbit", "timeline.0.at=5s", "timeline.1.at=6s",
}

// Every other run has jitter, and links of two the delays of each other.
var (
	swapped = []string{"links.0.both={rate: 10mbit, delay: 20ms, jitter: 4ms}", "links.1.both={rate: 10mbit, delay: 10ms, jitter: 2ms}"}
	jitter  = []string{"links.0.both.jitter=2ms"}
)

// The same for a link that is alone.
var (
	alone      = []string{"duration=5s", "links.0.both.rate=10mbit", "timeline.0.at=3s"}
	minute     = []string{"duration=67s", "links.0.both.rate=10mbit", "timeline.0.at=3s", "timeline.1.at=63s"}
	halfMinute = []string{"duration=37s", "links.0.both.rate=10mbit", "timeline.0.at=3s", "timeline.1.at=33s"}
)

// A link that flaps beside a steady one.
var (
	flapping        = []string{"duration=15s", "timeline.0.until=13s", "timeline.1.until=13s"}
	flappingSwapped = []string{"links.0.both={rate: 20mbit, delay: 20ms, jitter: 4ms}", "links.1.both={rate: 20mbit, delay: 10ms, jitter: 2ms}"}
)

// A bad link beside a good one, as bad in both directions, and not.
var (
	companion     = []string{"duration=9s", "links.0.both.rate=5mbit", "links.1.both.rate=5mbit"}
	companionWays = []string{"duration=9s", "links.0.both.rate=5mbit", "links.1.down.rate=5mbit", "links.1.up.rate=5mbit"}
	companionSlow = slices.Concat(companion, jitter)
)

// narrow is a link that is alone and carries no full packets.
var narrow = slices.Concat([]string{"links.0.both.rate=5mbit"}, jitter)

var failovers = []failover{
	{"silent-link-down", short, swapped, "dl.stall", 0.2},
	{"silent-link-up", short, swapped, "ul.stall", 0.2},
	{"silent-towards-client", short, swapped, "dl.stall", 0.2},
	{"silent-towards-server", short, swapped, "dl.stall", 0.2},
	{"link-deleted", short, swapped, "dl.stall", 0.12},
	{"carrier-lost", short, swapped, "dl.stall", 0.12},
	{"stream-silent-link", nil, swapped, "call.down.stall", 0.2},
	{"stream-silent-towards-client", nil, swapped, "call.down.stall", 0.2},
	{"stream-silent-towards-server", nil, swapped, "call.up.stall", 0.2},
	{"stream-link-deleted", nil, swapped, "call.down.stall", 0.12},
	{"link-returns", returns, swapped, "dl.regained", 0.5},
	{"stream-carrier-lost", nil, swapped, "call.down.stall", 0.12},
	{"call-link-silent", calls, nil, "call.down.stall", 0.09},
	{"call-link-flaps", calls, nil, "call.up.stall", 0.09},
	{"wifi-change", alone, jitter, "dl.stall", 0.3},
	{"no-link-for-a-minute", minute, jitter, "dl.stall", 60.5},
	{"other-link-later", halfMinute, jitter, "ul.stall", 30.5},
	{"nat-rebinding", nil, jitter, "", 0},
	{"flapping-link", flapping, flappingSwapped, "", 0},
	{"flapping-carrier", flapping, flappingSwapped, "", 0},
	{"companion-loss-1", companion, nil, "", 0},
	{"companion-loss-5", companion, nil, "", 0},
	{"companion-loss-20", companion, nil, "", 0},
	{"companion-loss-50", companion, nil, "", 0},
	{"companion-loss-50-down", companionWays, nil, "", 0},
	{"companion-loss-50-up", companionWays, nil, "", 0},
	{"companion-slow", companionSlow, nil, "", 0},
	{"mtu-1280-alone", narrow, nil, "", 0},
	{"mtu-1400-alone", narrow, nil, "", 0},
}

// calls is a shorter call.
var calls = []string{"duration=15s"}

// TestFailover holds what the scenarios of failing and of bad links expect over
// many seeds and moments at which the link fails. In every other run there is
// jitter, and the link that fails is the one with the longer delay.
func TestFailover(t *testing.T) {
	for _, f := range failovers {
		t.Run(f.name, func(t *testing.T) {
			var found []float64
			var missed []string // a line per run
			for seed := range *failoverSeeds {
				v, why := f.run(t, seed)
				found = append(found, v)
				if why != "" {
					missed = append(missed, why)
				}
			}
			if len(missed) > misses[f.name]**failoverSeeds/100 {
				t.Errorf("%d runs of %d miss, at most %d of 100 may:\n%s", len(missed), *failoverSeeds, misses[f.name], strings.Join(missed, "\n"))
			}
			if f.measure == "" {
				return
			}
			slices.Sort(found)
			median := found[len(found)/2]
			t.Logf("%s: median %.3f, 95 %% up to %.3f, worst %.3f of %d",
				f.measure, median, found[(len(found)-1)*95/100], found[len(found)-1], len(found))
			if median > f.median {
				t.Errorf("the median of %s is %.3f, at most %.3f", f.measure, median, f.median)
			}
		})
	}
}

// run makes the run of a seed and returns what was measured, and which of the
// scenario's expectations do not hold.
func (f failover) run(t *testing.T, seed int) (v float64, missed string) {
	file := filepath.Join("../../scenarios", f.name+".yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set := slices.Concat(f.set, []string{fmt.Sprintf("seed=%d", seed+1)})
	if seed%2 == 1 {
		set = append(set, f.odd...)
	}
	sc, err := scenario.Parse(file, text, scenario.Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	// Golden ratio: the moments are spread over the round trips and the
	// timers of the product.
	shift := time.Duration(float64(seed)*0.618034e9) % time.Second
	for i := range sc.Timeline {
		sc.Timeline[i].At += shift
	}
	r, err := Run(context.Background(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Expectations {
		if !e.OK {
			missed += fmt.Sprintf("seed %d, moved by %v: %s: %s; ", seed+1, shift, e.Expr, e.Sides())
		}
	}
	v, ok := at(r.Measurements, f.measure).(float64)
	if !ok {
		v = math.Inf(1) // it did not come to pass: an expectation has said so
	}
	return v, missed
}
