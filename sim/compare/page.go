package compare

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// page is the report of a comparison.
func page(p *Plan, records map[Cell]Record, s *Summary) *report.Page {
	scenarios := map[string]bool{}
	for _, c := range p.Cases {
		scenarios[c.Scenario.Name] = true
	}
	out := &report.Page{
		Title: fmt.Sprintf("Comparison of %s over %s", counted(len(p.Schedulers), "scheduler"), counted(len(scenarios), "scenario")),
		Lead:  "Medians over the seeds. Runs that the emulator could not keep its accuracy in are left out.",
		Facts: []report.Fact{
			{Name: "runs per cell", Value: strconv.Itoa(p.Runs)},
			{Name: "cells", Value: fmt.Sprintf("%d of %d usable", s.Cells.Usable, s.Cells.Planned)},
			{Name: "shard", Value: p.Shard.String()},
			{Name: "programs", Value: p.Program},
		},
		Schedulers: p.Schedulers, Metrics: s.Metrics, Scenarios: []report.PageScenario{}, Commands: []string{},
	}
	for _, o := range s.Overall {
		out.Overall = append(out.Overall, report.PageOverall{Scheduler: o.Scheduler, First: o.First, Of: o.Of, MeanRank: o.MeanRank})
	}
	for _, f := range s.Failures {
		out.Failures = append(out.Failures, report.Fact{Name: cellName(f.Cell), Value: f.Reason})
	}
	out.Classes = pageClasses(p, s)
	fill(out, p, records, s)
	if len(p.Command) > 0 {
		out.Commands = append([]string{strings.Join(p.Command, " ")}, out.Commands...)
	}
	return out
}

// RunPage is the report of single runs, one of each scenario.
func RunPage(scenarios []*scenario.Scenario, results []*report.Result, command []string, version string) (*report.Page, error) {
	p := &Plan{Runs: 1, Baselines: []Kind{Alone, Bare}, Command: command, Version: version}
	records := map[Cell]Record{}
	for i, result := range results {
		c, err := NewCase(scenarios[i], "", result.Backend)
		if err != nil {
			return nil, err
		}
		p.Cases = append(p.Cases, c)
		cell := Cell{Scenario: result.Scenario, Seed: result.Seed, Kind: Tunnel, Name: schedulerOf(c.Scenario)}
		if !slices.Contains(p.Schedulers, cell.Name) {
			p.Schedulers = append(p.Schedulers, cell.Name)
		}
		c.Scenario.Seed = result.Seed
		r := newRecord(cell, result, nil)
		r.Verdict = report.Pass // one run is shown whatever became of it
		records[cell] = r
		base, _ := result.Measurements[c.Scenario.Baseline].(map[string]any)
		for link, m := range base {
			cell.Kind, cell.Name = Kind(c.Scenario.Baseline), link
			records[cell] = newRecord(cell, &report.Result{Verdict: report.Pass, Measurements: m.(map[string]any)}, nil)
		}
	}
	s := summarise(p, records)
	out := &report.Page{Title: counted(len(results), "scenario"), Lead: "One run of each.", Schedulers: p.Schedulers, Metrics: s.Metrics, Scenarios: []report.PageScenario{}, Commands: []string{}}
	if len(results) == 1 {
		out.Title = results[0].Scenario + ": " + string(results[0].Verdict)
	}
	for _, r := range results {
		out.Facts = append(out.Facts, report.Fact{Name: r.Scenario, Value: fmt.Sprintf("%s (%s, seed %d, %.1f s)", r.Verdict, r.Backend, r.Seed, r.Seconds)})
		if r.Reason != "" {
			out.Failures = append(out.Failures, report.Fact{Name: r.Scenario, Value: r.Reason})
		}
	}
	fill(out, p, records, s)
	out.Commands = append([]string{strings.Join(command, " ")}, out.Commands...)
	return out, nil
}

// schedulerOf is the name of a scenario's scheduler, as a label.
func schedulerOf(sc *scenario.Scenario) string {
	switch v := sc.Client["scheduler"].(type) {
	case string:
		return v
	case map[string]any:
		return fmt.Sprintf("%v down, %v up", v["down"], v["up"])
	}
	return "default"
}

// fill adds the scenarios and the environment. Scenarios at points are in
// classes instead.
func fill(out *report.Page, p *Plan, records map[Cell]Record, s *Summary) {
	for i := range p.Cases {
		if c := &p.Cases[i]; c.Point == "" {
			out.Scenarios = append(out.Scenarios, pageScenario(p, c, records, s))
		}
	}
	seen := map[string]map[string]bool{}
	note := func(name, value string) {
		if value == "" || seen[name][value] {
			return
		}
		if seen[name] == nil {
			seen[name] = map[string]bool{}
		}
		seen[name][value] = true
	}
	note("testbed", p.Version)
	for _, cell := range p.Cells() {
		r, ok := records[cell]
		if !ok {
			continue
		}
		e := r.Environment
		note("kernel", e.Kernel)
		note("version", e.Version)
		note("Go", e.Go)
		if e.CPUs > 0 {
			note("processors", strconv.Itoa(e.CPUs))
		}
		for key, value := range e.Sysctls {
			note(key, value)
		}
		if len(out.Commands) == 0 {
			out.Commands = append(out.Commands, e.Commands...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		values := slices.Sorted(maps.Keys(seen[name]))
		out.Environment = append(out.Environment, report.Fact{Name: name, Value: strings.Join(values, "; ")})
	}
}

func pageScenario(p *Plan, c *Case, records map[Cell]Record, s *Summary) report.PageScenario {
	out := report.PageScenario{Name: c.Scenario.Name, About: c.Scenario.About, Backend: c.Backend, Network: network(c.Scenario)}
	expectations := map[string]int{}
	var shown []Row
	for _, row := range s.Rows {
		if row.Scenario == c.Scenario.Name && row.Point == c.Point {
			shown = append(shown, row)
		}
	}
	// Baselines are run first and shown last.
	slices.SortStableFunc(shown, func(a, b Row) int { return isBaseline(a) - isBaseline(b) })
	for _, row := range shown {
		if row.Cells.Missing == row.Cells.Planned {
			continue
		}
		out.Rows = append(out.Rows, report.PageRow{Label: row.Scheduler, Baseline: row.Kind != Tunnel, Rank: row.Rank, Note: row.Cells.note(), Metrics: row.Metrics})
		for _, h := range row.Expectations {
			i, known := expectations[h.Expr]
			if !known {
				i = len(out.Expectations)
				expectations[h.Expr] = i
				out.Expectations = append(out.Expectations, report.PageExpectation{Expr: h.Expr})
			}
			x := &out.Expectations[i]
			x.By = append(x.By, report.PageHeld{Label: row.Scheduler, Held: h.Held, Runs: h.Runs, Sides: h.Sides()})
		}
		if t, ok := pageTimeline(p, c, records, row); ok {
			out.Timelines = append(out.Timelines, t)
		}
		if d := delays(p, c, records, row); d.Values != nil {
			out.Delays = append(out.Delays, d)
		}
	}
	for _, a := range c.Scenario.Timeline {
		out.Events = append(out.Events, report.PageEvent{At: a.At.Seconds(), What: event(a)})
	}
	return out
}

// event is an action of the timeline in words.
func event(a scenario.Action) string {
	words := strings.TrimSpace(a.Do + " " + a.Link)
	for _, im := range []*scenario.Impairment{a.Down, a.Up} {
		if im != nil && im.Rate > 0 {
			return fmt.Sprintf("%s %.4g Mbit/s", words, im.Rate/1e6)
		}
	}
	return words
}

func isBaseline(r Row) int {
	if r.Kind == Tunnel {
		return 0
	}
	return 1
}

// recordsOf are the usable records of a row, seed by seed.
func recordsOf(p *Plan, c *Case, records map[Cell]Record, row Row) []Record {
	var found []Record
	for run := range p.Runs {
		cell := row.cell
		cell.Seed = c.Scenario.Seed + uint64(run)
		if r, ok := records[cell]; ok && r.Usable() {
			found = append(found, r)
		}
	}
	return found
}

// pageTimeline is the first run of a row over time. What links carry is of the
// direction that most goes in.
func pageTimeline(p *Plan, c *Case, records map[Cell]Record, row Row) (report.PageTimeline, bool) {
	all := recordsOf(p, c, records, row)
	if len(all) == 0 || len(all[0].Curves) == 0 {
		return report.PageTimeline{}, false
	}
	r := &all[0]
	t := report.PageTimeline{Label: row.Scheduler, Bin: BinSeconds, Goodput: (&run{of: c, record: r}).curve(), Links: []report.PageLine{}}
	direction := "down"
	if carried(r, "up") > carried(r, "down") {
		direction = "up"
	}
	for _, l := range c.Scenario.Links {
		if values := r.Curves["link."+l.Name+"."+direction+".rate"]; values != nil {
			t.Links = append(t.Links, report.PageLine{Name: l.Name, Values: values})
		}
	}
	return t, true
}

func carried(r *Record, direction string) float64 {
	sum := 0.0
	for name, values := range r.Curves {
		if strings.HasPrefix(name, "link.") && strings.HasSuffix(name, "."+direction+".rate") {
			for _, v := range values {
				sum += v
			}
		}
	}
	return sum
}

// delays are the round-trip times of a row's pings through the tunnel.
func delays(p *Plan, c *Case, records map[Cell]Record, row Row) report.Distribution {
	d := report.Distribution{Label: row.Scheduler}
	for _, r := range recordsOf(p, c, records, row) {
		for _, t := range c.Scenario.Traffic {
			if t.Kind == "ping" && isTunnel(t) {
				d.Values = append(d.Values, r.Delays[t.Name]...)
			}
		}
	}
	slices.Sort(d.Values)
	return d
}

func pageClasses(p *Plan, s *Summary) []report.PageClass {
	var out []report.PageClass
	for _, c := range s.Classes {
		if n := len(out); n == 0 || out[n-1].Scenario != c.Scenario || out[n-1].Class != c.Class {
			next := report.PageClass{Scenario: c.Scenario, Class: c.Class, Points: c.Points}
			if c.Class == allClasses {
				next.Worst = worst(p, c)
			}
			out = append(out, next)
		}
		last := &out[len(out)-1]
		last.Benefit = append(last.Benefit, report.Distribution{Label: c.Scheduler, Values: c.benefits})
		last.NotUnderBest = append(last.NotUnderBest, c.NotUnderBest)
	}
	return out
}

func worst(p *Plan, c Class) []report.PagePoint {
	var points []report.PagePoint
	for i, name := range c.Worst {
		of := p.find(Cell{Scenario: c.Scenario, Point: name})
		points = append(points, report.PagePoint{Point: name, Benefit: c.benefits[i], Links: network(of.Scenario)})
	}
	return points
}

// network says what the links are, in words.
func network(sc *scenario.Scenario) []report.Network {
	var all []report.Network
	for _, l := range sc.Links {
		is := bothWays(l.Down, l.Up)
		if !l.Present {
			is += "; not there at the start"
		}
		all = append(all, report.Network{Name: l.Name, Is: is})
	}
	for _, b := range sc.Bottlenecks {
		all = append(all, report.Network{Name: b.Name, Is: "shared by " + strings.Join(b.Links, " and ") + ": " + bothWays(b.Down, b.Up)})
	}
	return all
}

func bothWays(down, up scenario.Impairment) string {
	a, b := impairment(down), impairment(up)
	if a == b {
		return a
	}
	return "down " + a + "; up " + b
}

// impairment is what a direction does to packets, in words.
func impairment(im scenario.Impairment) string {
	var parts []string
	say := func(when bool, format string, args ...any) {
		if when {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	say(im.Rate > 0, "%.4g Mbit/s", im.Rate/1e6)
	trace, _, _ := strings.Cut(im.Trace, " ") // its digest follows
	say(trace != "", "trace %s", trace)
	say(true, "%v", im.Delay.Round(10*time.Microsecond))
	say(im.Jitter > 0, "jitter %v %s", im.Jitter, im.Distribution)
	say(im.Loss.Good > 0 && im.Loss.P == 0, "loss %.3g %%", im.Loss.Good*100)
	say(im.Loss.P > 0, "bursts of loss")
	say(im.Reorder > 0, "reorder %.3g %%", im.Reorder*100)
	say(im.Duplicate > 0, "duplicate %.3g %%", im.Duplicate*100)
	say(im.Corrupt > 0, "corrupt %.3g %%", im.Corrupt*100)
	switch q := im.Queue; {
	case q.Packets > 0:
		say(true, "queue %d packets", q.Packets)
	case q.Bytes > 0:
		say(true, "queue %d bytes", q.Bytes)
	default:
		say(im.Rate > 0 || im.Trace != "", "queue %v", q.Time)
	}
	say(im.MTU > 0, "MTU %d", im.MTU)
	return strings.Join(parts, ", ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// cellName names a cell for people.
func cellName(c Cell) string {
	name := c.Scenario
	if c.Point != "" {
		name += " at " + c.Point
	}
	return fmt.Sprintf("%s, %s, seed %d", name, c.Label(), c.Seed)
}
