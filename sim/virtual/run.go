package virtual

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Options say how a scenario is run.
type Options struct {
	// Seed replaces the scenario's.
	Seed *uint64
	// Progress, if it is set, is told now and then how far the run is.
	Progress func(Progress)
	// Observe, if it is set, sees the outer packets of the run itself, not
	// those of its baselines. Exec cannot hand it on.
	Observe func(Packet)
}

// Progress is how far a run is.
type Progress struct {
	// Phase is "running", or the baseline that is being measured.
	Phase   string        `json:"phase"`
	Elapsed time.Duration `json:"elapsed"` // virtual time of the phase
	Total   time.Duration `json:"total"`
	// Line is news, "" mostly.
	Line string `json:"line,omitempty"`
}

// Health says how a simulation went, in Result.Emulator. All of it repeats
// with the seed.
type Health struct {
	// Log is the checksum of the packet log: equal logs, equal runs.
	Log string `json:"packet_log"`
	// Simulated is the virtual time of the run and its baselines, in seconds.
	Simulated float64  `json:"simulated"`
	Counters  Counters `json:"counters"`
}

// progressEvery is the virtual time between two reports of progress.
const progressEvery = 500 * time.Millisecond

// Check says whether a scenario can run in virtual time. The error is an
// ErrUnsupported.
func Check(sc *scenario.Scenario) error {
	for _, t := range sc.Traffic {
		if err := checkTraffic(t); err != nil {
			return err
		}
	}
	for _, a := range sc.Timeline {
		if err := checkAction(a); err != nil {
			return err
		}
	}
	return checkKeys(sc.Client)
}

// checkKeys refuses configuration keys of the client that would change what is
// measured, and that nothing here looks at.
func checkKeys(keys map[string]any) error {
	if keys["links"] != nil {
		return fmt.Errorf("client: links: the use of links (role, cap, quota) is %w", ErrUnsupported)
	}
	return nil
}

// Run runs a scenario, with its baseline first if it has one, and judges its
// expectations. The process must have GOMAXPROCS set to 1; Exec runs a scenario
// from any process.
func Run(ctx context.Context, sc *scenario.Scenario, o Options) (*report.Result, error) {
	began := time.Now()
	if err := Check(sc); err != nil {
		return nil, err
	}
	if o.Seed != nil {
		seeded := *sc
		seeded.Seed = *o.Seed
		sc = &seeded
	}
	const off = -1
	defer debug.SetGCPercent(debug.SetGCPercent(off)) // the loop collects
	r := &runner{options: o}
	baseline, err := r.baseline(ctx, sc)
	if err != nil {
		return nil, err
	}
	found, err := r.one(ctx, sc, "running", o.Observe)
	if err != nil {
		return nil, err
	}
	if baseline != nil {
		found.measurements[sc.Baseline] = baseline
	}
	measurements := scenario.Measurements(found.measurements)
	scenario.AddRegained(sc, measurements, found.series)
	result := &report.Result{
		Scenario: sc.Name, Backend: scenario.VirtualTime, Seed: sc.Seed,
		Measurements: measurements, Series: found.series,
		Expectations: scenario.Evaluate(sc, measurements),
		Emulator:     Health{Log: fmt.Sprintf("%016x", r.log), Simulated: r.simulated.Seconds(), Counters: found.counters},
		Environment:  report.Environment{Go: runtime.Version(), CPUs: 1, Commands: []string{}},
		Seconds:      time.Since(began).Seconds(),
	}
	result.Verdict, result.Reason = scenario.Verdict(r.broken, nil, result.Expectations)
	return result, nil
}

// runner runs the simulations of one scenario.
type runner struct {
	options   Options
	simulated time.Duration
	log       uint64
	broken    []string // what no run may pass with
}

// findings are what one simulation measured.
type findings struct {
	measurements map[string]any
	series       map[string]report.Series
	counters     Counters
}

// baseline measures the traffic with each link alone: through the tunnel or
// past it. It is nil when the scenario wants none.
func (r *runner) baseline(ctx context.Context, sc *scenario.Scenario) (map[string]any, error) {
	if sc.Baseline == "" {
		return nil, nil
	}
	all := map[string]any{}
	for i, l := range sc.Links {
		found, err := r.one(ctx, scenario.Single(sc, i, sc.Baseline), sc.Baseline+" "+l.Name, nil)
		if err != nil {
			return nil, fmt.Errorf("baseline %s %s: %w", sc.Baseline, l.Name, err)
		}
		all[l.Name] = found.measurements
	}
	return all, nil
}

// one runs one simulation.
func (r *runner) one(ctx context.Context, sc *scenario.Scenario, phase string, observe func(Packet)) (*findings, error) {
	clientSide, serverSide, err := strategies(sc.Client, sc.Server)
	if err != nil {
		return nil, err
	}
	s, err := New(Config{
		Seed: sc.Seed, Links: sc.Links, Bottlenecks: sc.Bottlenecks,
		OuterIPv6: scenario.OuterIPv6(sc), MTU: tableNumber(sc.Client, "tun", "mtu"),
		Client: clientSide, Server: serverSide, Observe: observe,
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := r.connect(ctx, s, phase); err != nil {
		return nil, err
	}
	var traffic []*Traffic
	for _, t := range sc.Traffic {
		tr, err := s.AddTraffic(t, sc.Warmup, sc.Duration)
		if err != nil {
			return nil, err
		}
		traffic = append(traffic, tr)
	}
	r.schedule(s, sc, phase)
	links := s.sampleLinks(sc.Duration)
	if err := r.advance(ctx, s, phase, sc.Duration, endsEarly(sc, traffic)); err != nil {
		return nil, err
	}
	found := &findings{series: map[string]report.Series{}}
	if found.measurements, err = s.measure(sc); err != nil {
		return nil, err
	}
	links.series(found.series)
	if err := s.RunUntil(ctx, s.Now()+meter.Lateness); err != nil {
		return nil, err
	}
	for _, t := range traffic {
		r.take(t, found, phase)
	}
	found.counters = s.Counters()
	r.simulated += s.Now()
	r.log = (r.log ^ s.Sum()) * logPrime
	return found, nil
}

// connect lets the links come up.
func (r *runner) connect(ctx context.Context, s *Simulation, phase string) error {
	ok, err := s.Start(ctx, scenario.ConnectLimit)
	if err == nil && !ok {
		r.say(s, phase, "not all links came up within %s", scenario.ConnectLimit)
	}
	return err
}

// endsEarly says when a run is over before its duration.
func endsEarly(sc *scenario.Scenario, traffic []*Traffic) func() bool {
	bySize := sc.EndsBySize()
	return func() bool {
		return bySize && !slices.ContainsFunc(traffic, func(t *Traffic) bool { return !t.finished() })
	}
}

// advance runs a simulation to a time, or until it is over, and tells how far
// it is.
func (r *runner) advance(ctx context.Context, s *Simulation, phase string, until time.Duration, over func() bool) error {
	for s.Now() < until && !over() {
		if r.options.Progress != nil {
			r.options.Progress(Progress{Phase: phase, Elapsed: s.Now(), Total: until})
		}
		if _, err := s.Until(ctx, over, min(progressEvery, until-s.Now())); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) say(s *Simulation, phase, format string, args ...any) {
	if r.options.Progress != nil {
		r.options.Progress(Progress{Phase: phase, Elapsed: s.Now(), Line: fmt.Sprintf(format, args...)})
	}
}

// schedule sees to the timeline.
func (r *runner) schedule(s *Simulation, sc *scenario.Scenario, phase string) {
	keys := sc.Client
	for i, a := range sc.Timeline {
		if a.Do == "reload-client" {
			keys = scenario.Overlay(keys, a.Client)
		}
		now := keys
		s.at(a.At, func() {
			r.say(s, phase, "%s %s", a.Do, a.Link)
			if i == len(sc.Timeline)-1 {
				s.arm(sc.Timeline)
			}
			var err error
			if a.Do == "reload-client" {
				err = s.reload(now, sc.Server)
			} else {
				err = s.Do(a)
			}
			if err != nil {
				s.fail(fmt.Errorf("timeline, at %s: %s %s: %w", a.At, a.Do, a.Link, err))
			}
		})
	}
}

// reload puts a client's new configuration keys into force at both ends.
func (s *Simulation) reload(clientKeys, serverKeys map[string]any) error {
	clientSide, serverSide, err := strategies(clientKeys, serverKeys)
	if err != nil {
		return err
	}
	return s.SetStrategies(clientSide, serverSide)
}

// measure gathers what is not a traffic's.
func (s *Simulation) measure(sc *scenario.Scenario) (map[string]any, error) {
	clientStatus, serverStatus, err := s.measureEnds()
	if err != nil {
		return nil, err
	}
	if seconds, ok := s.recovery.seconds(); ok {
		clientStatus["recovered_in"] = seconds
	}
	capacity := map[string]any{}
	down, up := scenario.Capacity(sc)
	for name, v := range map[string]float64{"down": down, "up": up} {
		if !math.IsInf(v, 0) && !math.IsNaN(v) { // JSON has no form for them
			capacity[name] = v
		}
	}
	return map[string]any{
		"link": s.measureLinks(), "client": clientStatus, "server": serverStatus, "capacity": capacity,
	}, nil
}

// take takes over what a traffic found.
func (r *runner) take(t *Traffic, found *findings, phase string) {
	o := t.Outcome()
	found.measurements[t.Name] = o.Values
	for name, series := range o.Series {
		found.series[t.Name+"."+name] = series
	}
	for _, fault := range o.Faults {
		r.broken = append(r.broken, phase+": "+t.Name+": "+fault)
	}
	for _, note := range o.Notes {
		r.say(t.sim, phase, "%s: %s", t.Name, note)
	}
}
