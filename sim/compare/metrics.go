package compare

import (
	"math"
	"slices"
	"strings"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// metric is one figure of a run by which runs are compared.
type metric struct {
	report.Metric
	of func(*run) float64 // NaN where there is none
}

// rankedBy is the metric that schedulers are ranked by.
const rankedBy = "goodput"

// The keys of metrics that more is made of than a column.
const (
	benefitKey   = "benefit"
	bestRatioKey = "best_ratio"
)

// metrics are all of them, in the order of the tables.
var metrics = []metric{
	{report.Metric{Key: rankedBy, Title: "Goodput", Unit: "bit/s",
		About: "application bytes of all bulk traffic through the tunnel after the warm-up"}, (*run).goodput},
	{report.Metric{Key: "efficiency", Title: "Efficiency", Unit: "ratio",
		About: "goodput over the sum of the goodputs of each link alone through the tunnel"}, (*run).efficiency},
	{report.Metric{Key: "capacity_share", Title: "Of capacity", Unit: "ratio",
		About: "goodput over the nominal capacity: the links' rates less all headers"}, (*run).capacityShare},
	{report.Metric{Key: bestRatioKey, Title: "Of best link", Unit: "ratio",
		About: "goodput over that of the best link alone"}, (*run).bestRatio},
	{report.Metric{Key: benefitKey, Title: "Benefit", Unit: "",
		About: "aggregation benefit (Paasch 2013): 1 is the sum of the links, 0 the best link, -1 nothing"}, (*run).benefit},
	{report.Metric{Key: "ping_p95", Title: "Ping p95", Unit: "s", LowerIsBetter: true,
		About: "95th percentile of round-trip times through the tunnel, beside the traffic"}, (*run).pingP95},
	{report.Metric{Key: "first_10s", Title: "First 10 s", Unit: "ratio",
		About: "goodput in the first ten seconds over that after the warm-up"}, (*run).firstTen},
	{report.Metric{Key: "ramp", Title: "Ramp", Unit: "s", LowerIsBetter: true,
		About: "time until the goodput first reaches 90 % of that after the warm-up"}, (*run).ramp},
	{report.Metric{Key: "stall", Title: "Stall", Unit: "s", LowerIsBetter: true,
		About: "longest gap in delivery to the application"}, (*run).stall},
	{report.Metric{Key: "reordered", Title: "Reordered", Unit: "share", LowerIsBetter: true,
		About: "share of packets that the receiving host sees out of order (RFC 4737)"}, (*run).reordered},
	{report.Metric{Key: "spurious", Title: "Spurious", Unit: "share", LowerIsBetter: true,
		About: "share of TCP segments that were sent again though they had arrived"}, (*run).spurious},
	{report.Metric{Key: "fct_p50", Title: "Completion", Unit: "s", LowerIsBetter: true,
		About: "median time to complete a transfer"}, (*run).completion},
	{report.Metric{Key: "jain", Title: "Fairness", Unit: "",
		About: "Jain's index over the goodputs of several bulk traffics, those past the tunnel among them"}, (*run).fairness},
}

// run is a cell's record with what it is measured against.
type run struct {
	of     *Case
	record *Record
	// alone are the goodputs of the links that are there from the start, each
	// alone; nil where one is missing or the comparison would not be fair.
	alone []float64
}

// newRun finds what a record is measured against. Where things happen on the
// way, or links share a bottleneck, what each link does alone does not add up
// to what they could do together.
func newRun(c *Case, r *Record, records map[Cell]Record) *run {
	one := &run{of: c, record: r}
	if !steady(c.Scenario) {
		return one
	}
	for _, l := range c.Scenario.Links {
		if !l.Present {
			continue
		}
		cell := r.Cell
		cell.Kind, cell.Name = Alone, l.Name
		base, ok := records[cell]
		v := (&run{of: c, record: &base}).goodput()
		if !ok || !base.Usable() || math.IsNaN(v) {
			one.alone = nil
			return one
		}
		one.alone = append(one.alone, v)
	}
	return one
}

// steady says whether a scenario's links keep to themselves and stay as they
// are.
func steady(sc *scenario.Scenario) bool {
	shares := func(b scenario.Bottleneck) bool { return len(b.Links) > 1 }
	return len(sc.Timeline) == 0 && !slices.ContainsFunc(sc.Bottlenecks, shares)
}

// number is a measurement by its path, NaN where there is none.
func (r *run) number(path ...string) float64 {
	var v any = r.record.Measurements
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return math.NaN()
		}
		v = m[key]
	}
	if f, ok := v.(float64); ok {
		return f
	}
	return math.NaN()
}

// bulk are the traffics whose goodput counts, as paths of their measurements
// by direction. A cell of a baseline has them past the tunnel.
func (r *run) bulk() [][]string { return flows(r.of.Scenario, isTunnel) }

func isTunnel(t scenario.Traffic) bool { return t.Via.Kind == "tunnel" }

// flows are the TCP transfers of a scenario that are wanted; where it has none,
// its UDP streams.
func flows(sc *scenario.Scenario, wanted func(scenario.Traffic) bool) [][]string {
	for _, kinds := range [][]string{{"tcp", "http"}, {"udp"}} {
		var found [][]string
		for _, t := range sc.Traffic {
			if !wanted(t) || !slices.Contains(kinds, t.Kind) {
				continue
			}
			if t.Direction == "both" {
				found = append(found, []string{t.Name, "down"}, []string{t.Name, "up"})
			} else {
				found = append(found, []string{t.Name})
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}

// over combines a measurement of all bulk traffic; NaN without any.
func (r *run) over(combine func(a, b float64) float64, path ...string) float64 {
	total := math.NaN()
	for i, flow := range r.bulk() {
		v := r.number(append(slices.Clone(flow), path...)...)
		if i == 0 {
			total = v
		} else {
			total = combine(total, v)
		}
	}
	return total
}

func add(a, b float64) float64 { return a + b }

func (r *run) goodput() float64 { return r.over(add, "goodput") }

func (r *run) efficiency() float64 {
	sum := 0.0
	for _, c := range r.alone {
		sum += c
	}
	return ratio(r.goodput(), sum)
}

func (r *run) bestRatio() float64 {
	if len(r.alone) == 0 {
		return math.NaN()
	}
	return ratio(r.goodput(), slices.Max(r.alone))
}

func (r *run) benefit() float64 {
	if len(r.alone) == 0 || slices.Max(r.alone) == 0 {
		return math.NaN()
	}
	return benefit(r.goodput(), r.alone)
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// capacityShare is of the directions that bulk traffic has.
func (r *run) capacityShare() float64 {
	if len(r.of.Scenario.Timeline) > 0 {
		return math.NaN()
	}
	used := map[string]bool{}
	for _, t := range r.of.Scenario.Traffic {
		if isTunnel(t) && slices.ContainsFunc(r.bulk(), func(flow []string) bool { return flow[0] == t.Name }) {
			used["down"] = used["down"] || t.Direction != "up"
			used["up"] = used["up"] || t.Direction != "down"
		}
	}
	capacity := 0.0
	for direction := range used {
		if used[direction] {
			capacity += r.number("capacity", direction)
		}
	}
	return ratio(r.goodput(), capacity)
}

func (r *run) pingP95() float64 {
	worst := math.NaN()
	for _, t := range r.of.Scenario.Traffic {
		if t.Kind != "ping" || !isTunnel(t) {
			continue
		}
		if v := r.number(t.Name, "rtt", "p95"); math.IsNaN(worst) || v > worst {
			worst = v
		}
	}
	return worst
}

func (r *run) stall() float64      { return r.over(math.Max, "stall") }
func (r *run) reordered() float64  { return r.over(math.Max, "reordered") }
func (r *run) spurious() float64   { return r.over(math.Max, "spurious") }
func (r *run) completion() float64 { return r.over(math.Max, "fct", "p50") }

func (r *run) fairness() float64 {
	all := flows(r.of.Scenario, func(scenario.Traffic) bool { return true })
	if len(all) < 2 {
		return math.NaN()
	}
	var goodputs []float64
	for _, flow := range all {
		v := r.number(append(slices.Clone(flow), "goodput")...)
		if math.IsNaN(v) {
			return math.NaN()
		}
		goodputs = append(goodputs, v)
	}
	return jain(goodputs)
}

// curve is the goodput of all bulk traffic over time; nil without any.
func (r *run) curve() []float64 {
	var sum []float64
	for _, flow := range r.bulk() {
		for i, v := range r.record.Curves[strings.Join(flow, ".")+".goodput"] {
			if i == len(sum) {
				sum = append(sum, 0)
			}
			sum[i] += v
		}
	}
	return sum
}

// began is when the first bulk traffic starts, as a bin of the curve.
func (r *run) began() int {
	first := math.Inf(1)
	for _, flow := range r.bulk() {
		i := slices.IndexFunc(r.of.Scenario.Traffic, func(t scenario.Traffic) bool { return t.Name == flow[0] })
		first = min(first, r.of.Scenario.Traffic[i].Start.Seconds())
	}
	return int(first / BinSeconds)
}

// steadily says whether a run has a beginning and a steady state to tell
// apart: at least ten seconds of warm-up, nothing that happens on the way or
// ends by size.
func (r *run) steadily() bool {
	return r.of.Scenario.Warmup.Seconds() >= 10 && len(r.of.Scenario.Timeline) == 0 && math.IsNaN(r.completion())
}

func (r *run) firstTen() float64 {
	curve := r.curve()
	if curve == nil || !r.steadily() {
		return math.NaN()
	}
	from := r.began()
	to := from + int(10/BinSeconds)
	if to > len(curve) {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range curve[from:to] {
		sum += v
	}
	return ratio(sum/float64(to-from), r.goodput())
}

func (r *run) ramp() float64 {
	curve := r.curve()
	if curve == nil || !r.steadily() {
		return math.NaN()
	}
	for i := r.began(); i < len(curve); i++ {
		if curve[i] >= 0.9*r.goodput() {
			return float64(i+1-r.began()) * BinSeconds
		}
	}
	return math.NaN()
}
