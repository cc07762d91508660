package compare

import (
	"context"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// text is a scenario with two unequal links, and all that metrics are made of.
const text = `
name: two
about: Two links.
baseline: alone
warmup: 10s
duration: 40s
seed: 7
links:
  - {name: a0, both: {rate: 20mbit, delay: 10ms}}
  - {name: b0, both: {rate: 10mbit, delay: 40ms, loss: 1%}}
client: {scheduler: wrr, reorder: flow}
traffic:
  - {name: dl, kind: tcp}
  - {name: echo, kind: ping}
expect:
  - dl.goodput >= 0.95 * (alone.a0.dl.goodput + alone.b0.dl.goodput)
  - echo.rtt.p95 <= 0.045
`

func parse(t testing.TB, text string) *scenario.Scenario {
	t.Helper()
	sc, err := scenario.Parse("x.yaml", []byte(text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// planOf is a plan with two schedulers and four runs of some scenarios.
func planOf(t testing.TB, backend string, texts ...string) *Plan {
	t.Helper()
	p := &Plan{Program: "sha256:1", Schedulers: []string{"good", "bad"}, Runs: 4, Baselines: Baselines, Command: []string{"compare"}}
	for _, text := range texts {
		c, err := NewCase(parse(t, text), "", backend)
		if err != nil {
			t.Fatal(err)
		}
		p.Cases = append(p.Cases, c)
	}
	return p
}

// pretend is a run whose goodput is in proportion to the links, less what the
// scheduler loses. It varies a little with the seed.
func pretend(_ context.Context, sc *scenario.Scenario, backend string) (*report.Result, error) {
	sum := 0.0
	for _, l := range sc.Links {
		sum += l.Down.Rate
	}
	if sc.Client["scheduler"] == "bad" {
		sum *= 0.6
	}
	goodput := sum * (0.9 - 0.001*float64(sc.Seed))
	r := &report.Result{
		Scenario: sc.Name, Backend: backend, Seed: sc.Seed, Verdict: report.Pass, Seconds: 1,
		Measurements: map[string]any{"capacity": map[string]any{"down": 0.925 * sum, "up": 0.925 * sum}},
		Series:       map[string]report.Series{},
		Environment:  report.Environment{Kernel: "Linux", Commands: []string{"multilink client"}},
	}
	for _, t := range sc.Traffic {
		switch t.Kind {
		case "tcp":
			r.Measurements[t.Name] = map[string]any{"goodput": goodput, "stall": 0.05, "reordered": 0.001, "retransmits": 3.0}
			s := report.Series{}
			for i := range 400 {
				s.T = append(s.T, float64(i)/10)
				s.V = append(s.V, goodput*min(1, float64(i)/50)) // 5 s until it is there
			}
			r.Series[t.Name+".goodput"] = s
			r.Series["link.a0.down.rate"] = s
		case "ping":
			r.Measurements[t.Name] = map[string]any{"rtt": map[string]any{"p95": 0.04}}
			r.Series[t.Name+".rtt"] = report.Series{T: []float64{0, 1, 2}, V: []float64{0.03, 0.02, 0.05}}
		}
	}
	return r, nil
}

// runAll runs a plan in a new folder.
func runAll(t testing.TB, p *Plan) *Store {
	t.Helper()
	s, err := Open(t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	r := Runner{Exec: pretend, Workers: 2, Fatal: func(Cell, error) bool { return false }}
	if err := r.Run(t.Context(), p, s, p.Cells()); err != nil {
		t.Fatal(err)
	}
	return s
}
