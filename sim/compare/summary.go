package compare

import (
	"maps"
	"math"

	"github.com/multilink-vpn/multilink/sim/report"
)

// Summary is what a comparison found, in the form of summary.json.
type Summary struct {
	Schedulers []string        `json:"schedulers"`
	Runs       int             `json:"runs"`
	Program    string          `json:"program"`
	Shard      Shard           `json:"shard,omitzero"`
	Cells      Count           `json:"cells"`
	Metrics    []report.Metric `json:"metrics"`
	Overall    []Overall       `json:"overall"`
	Rows       []Row           `json:"rows"`
	Classes    []Class         `json:"classes,omitempty"`
	Failures   []Failure       `json:"failures,omitempty"`
}

// Count says what became of cells.
type Count struct {
	Planned      int `json:"planned"`
	Usable       int `json:"usable"`
	Inconclusive int `json:"inconclusive"`
	Failed       int `json:"failed"`
	Missing      int `json:"missing"` // not run yet
}

// Row is a scenario (at a point) with a scheduler, or a baseline of it.
type Row struct {
	Scenario string `json:"scenario"`
	Point    string `json:"point,omitempty"`
	Backend  string `json:"backend"`
	// Scheduler is the scheduler, or the baseline ("alone:wlan0", "mptcp").
	Scheduler string `json:"scheduler"`
	Kind      Kind   `json:"kind"`
	Cells     Count  `json:"cells"`
	// Metrics are those that the scenario has.
	Metrics map[string]report.Estimate `json:"metrics"`
	// Rank is 1 more than the number of schedulers whose goodput is better by
	// more than 1 % and significantly; 0 of a baseline, and of fewer than 4 runs.
	Rank int `json:"rank,omitempty"`
	// PBest is the p-value of the difference to the scheduler with the best
	// median; missing of that one and of baselines.
	PBest        *float64      `json:"p_best,omitempty"`
	Expectations []report.Held `json:"expectations,omitempty"`

	cell     Cell // without its seed
	goodputs []float64
}

// Overall is a scheduler over all scenarios (and points).
type Overall struct {
	Scheduler string  `json:"scheduler"`
	Of        int     `json:"of"`    // scenarios in which it has a rank
	First     int     `json:"first"` // of rank 1: the best, or tied with it
	MeanRank  float64 `json:"mean_rank"`
	// Efficiency is the median over the scenarios of its median efficiency;
	// missing where none has one.
	Efficiency *float64 `json:"efficiency,omitempty"`
}

// Failure is a cell without usable measurements, and why.
type Failure struct {
	Cell
	Reason string `json:"reason"`
}

// summarise works out what the records of a plan say.
func summarise(p *Plan, records map[Cell]Record) *Summary {
	s := &Summary{Schedulers: p.Schedulers, Runs: p.Runs, Program: p.Program, Shard: p.Shard}
	for _, m := range metrics {
		s.Metrics = append(s.Metrics, m.Metric)
	}
	for _, line := range rows(p) {
		row := s.row(p, records, line)
		s.Cells.add(row.Cells)
		s.Rows = append(s.Rows, row)
	}
	for first := 0; first < len(s.Rows); {
		end := first
		for end < len(s.Rows) && s.Rows[end].Scenario == s.Rows[first].Scenario && s.Rows[end].Point == s.Rows[first].Point {
			end++
		}
		rank(s.Rows[first:end])
		first = end
	}
	for _, name := range p.Schedulers {
		s.Overall = append(s.Overall, s.overall(name))
	}
	s.Classes = classes(s.Rows)
	return s
}

// rows gathers the plan's cells by what differs only in the seed, scenario by
// scenario.
func rows(p *Plan) [][]Cell {
	byRow := map[Cell][]Cell{}
	var order []Cell
	for _, c := range p.Cells() {
		key := c
		key.Seed = 0
		if byRow[key] == nil {
			order = append(order, key)
		}
		byRow[key] = append(byRow[key], c)
	}
	lines := make([][]Cell, len(order))
	for i, key := range order {
		lines[i] = byRow[key]
	}
	return lines
}

// row works out one row.
func (s *Summary) row(p *Plan, records map[Cell]Record, cells []Cell) Row {
	c := p.find(cells[0])
	row := Row{Scenario: cells[0].Scenario, Point: cells[0].Point, Backend: c.Backend,
		Scheduler: cells[0].Label(), Kind: cells[0].Kind, Metrics: map[string]report.Estimate{}, cell: cells[0]}
	row.cell.Seed = 0
	values := map[string][]float64{}
	var judged [][]report.Expectation
	for _, cell := range cells {
		row.Cells.Planned++
		r, ok := records[cell]
		switch {
		case !ok:
			row.Cells.Missing++
			continue
		case r.Error != "":
			row.Cells.Failed++
			s.Failures = append(s.Failures, Failure{cell, r.Error})
			continue
		case !r.Usable():
			row.Cells.Inconclusive++
			s.Failures = append(s.Failures, Failure{cell, "inconclusive: " + r.Reason})
			continue
		}
		row.Cells.Usable++
		if r.Reason != "" {
			s.Failures = append(s.Failures, Failure{cell, r.Reason})
		}
		one := newRun(c, &r, records)
		for _, m := range metrics {
			if v := m.of(one); !math.IsNaN(v) && !math.IsInf(v, 0) {
				values[m.Key] = append(values[m.Key], v)
			}
		}
		if all, ok := withBaseline(c, &r, records); ok && cell.Kind == Tunnel {
			judged = append(judged, c.judge(all))
		}
	}
	for key, list := range values {
		row.Metrics[key] = estimate(list)
	}
	row.goodputs = values[rankedBy]
	row.Expectations = held(judged)
	return row
}

// withBaseline are a record's measurements with those of the scenario's
// baseline, by link. ok says that all of that baseline is there.
func withBaseline(c *Case, r *Record, records map[Cell]Record) (all map[string]any, ok bool) {
	if c.Scenario.Baseline == "" {
		return r.Measurements, true
	}
	base := map[string]any{}
	for _, l := range c.Scenario.Links {
		cell := r.Cell
		cell.Kind, cell.Name = Kind(c.Scenario.Baseline), l.Name
		one, ok := records[cell]
		if !ok || !one.Usable() {
			return nil, false
		}
		base[l.Name] = one.Measurements
	}
	all = maps.Clone(r.Measurements)
	all[c.Scenario.Baseline] = base
	return all, true
}

// held counts how often each expectation held.
func held(judged [][]report.Expectation) []report.Held {
	if len(judged) == 0 {
		return nil
	}
	all := make([]report.Held, len(judged[0]))
	for i := range all {
		var left, right []float64
		all[i] = report.Held{Expr: judged[0][i].Expr, Runs: len(judged)}
		for _, run := range judged {
			e := run[i]
			if e.OK {
				all[i].Held++
			}
			if e.Error != "" {
				all[i].Error = e.Error
			}
			if a, ok := e.Left.(float64); ok {
				left = append(left, a)
			}
			if b, ok := report.Number(e.Right); ok { // a literal may be a whole number
				right = append(right, b)
			}
		}
		if len(left) == len(judged) && len(right) == len(judged) {
			a, b := report.Median(left), report.Median(right)
			all[i].Left, all[i].Right = &a, &b
		}
	}
	return all
}

// rank gives the schedulers among a scenario's rows their ranks.
func rank(rows []Row) {
	var samples [][]float64
	var schedulers []*Row
	for i := range rows {
		if rows[i].Kind == Tunnel {
			schedulers = append(schedulers, &rows[i])
			samples = append(samples, rows[i].goodputs)
		}
	}
	best := -1
	for i, s := range samples {
		if len(s) > 0 && (best < 0 || report.Median(s) > report.Median(samples[best])) {
			best = i
		}
	}
	for i, place := range ranks(samples) {
		schedulers[i].Rank = place
		if place > 0 && i != best {
			p := differ(samples[i], samples[best])
			schedulers[i].PBest = &p
		}
	}
}

// overall works out how a scheduler did over all rows.
func (s *Summary) overall(scheduler string) Overall {
	o := Overall{Scheduler: scheduler}
	var efficiency []float64
	sum := 0
	for _, row := range s.Rows {
		if row.Kind != Tunnel || row.Scheduler != scheduler || row.Rank == 0 {
			continue
		}
		o.Of++
		sum += row.Rank
		if row.Rank == 1 {
			o.First++
		}
		if e, ok := row.Metrics["efficiency"]; ok {
			efficiency = append(efficiency, e.Median)
		}
	}
	if o.Of > 0 {
		o.MeanRank = float64(sum) / float64(o.Of)
	}
	if len(efficiency) > 0 {
		e := report.Median(efficiency)
		o.Efficiency = &e
	}
	return o
}

func (c *Count) add(other Count) {
	c.Planned += other.Planned
	c.Usable += other.Usable
	c.Inconclusive += other.Inconclusive
	c.Failed += other.Failed
	c.Missing += other.Missing
}
