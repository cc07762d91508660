package lab

import (
	"context"
	"fmt"
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Run runs a scenario with its baselines and judges it. The error says that
// the testbed could not do its part: it wraps ErrMachine where the machine
// lacks something, and is the context's where that ended. What the product
// does wrong is in the result.
func Run(ctx context.Context, sc *scenario.Scenario, o Options) (*report.Result, error) {
	began := time.Now()
	if o.Seed != nil {
		seeded := *sc
		seeded.Seed = *o.Seed
		sc = &seeded
	}
	base, err := baselines(ctx, sc, o)
	if err != nil {
		return nil, err
	}
	result := &report.Result{Scenario: sc.Name, Backend: scenario.Namespaces, Seed: sc.Seed}
	err = runOnce(ctx, sc, o, sc.Name, func(r *run) {
		if sc.Baseline != "" {
			r.found.measurements[sc.Baseline] = base.measurements
		}
		r.judge(result, base)
		result.Seconds = time.Since(began).Seconds()
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// judge fills in the result of a run.
func (r *run) judge(result *report.Result, base baseline) {
	result.Impair = r.impair
	result.Measurements = scenario.Measurements(r.found.measurements)
	result.Series = r.found.series
	scenario.AddRegained(r.sc, result.Measurements, result.Series)
	result.Emulator = r.found.health
	result.Environment = r.machine
	down, up := scenario.Capacity(r.sc)
	result.Measurements["capacity"] = map[string]any{"down": down, "up": up}
	result.Expectations = scenario.Evaluate(r.sc, result.Measurements)
	broken := append(base.broken, r.broken...)
	unsure := base.unsure
	if yes, why := r.found.health.Inconclusive(); yes {
		unsure = append(unsure, why)
	}
	result.Verdict, result.Reason = scenario.Verdict(broken, unsure, result.Expectations)
}

// baseline is what the runs with one link each found.
type baseline struct {
	measurements map[string]any // by link, then by traffic
	broken       []string
	unsure       []string
}

// baselines runs the scenario's traffic with each link alone, if the scenario
// asks for it: through the tunnel or past it.
func baselines(ctx context.Context, sc *scenario.Scenario, o Options) (baseline, error) {
	b := baseline{measurements: map[string]any{}}
	if sc.Baseline == "" {
		return b, nil
	}
	o.Keep, o.PcapDir = false, ""
	for i, l := range sc.Links {
		label := fmt.Sprintf("%s (%s %s)", sc.Name, sc.Baseline, l.Name)
		err := runOnce(ctx, scenario.Single(sc, i, sc.Baseline), o, label, func(r *run) {
			b.measurements[l.Name] = r.found.measurements
			if r.notUp {
				// So bad is this link alone; an expectation that asks for
				// what it carried fails.
				return
			}
			for _, text := range r.broken {
				b.broken = append(b.broken, label+": "+text)
			}
			if yes, why := r.found.health.Inconclusive(); yes {
				b.unsure = append(b.unsure, label+": "+why)
			}
		})
		if err != nil {
			return b, fmt.Errorf("baseline %s %s: %w", sc.Baseline, l.Name, err)
		}
	}
	return b, nil
}
