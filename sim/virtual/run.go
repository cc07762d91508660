package virtual

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Backend is the name of this backend in scenarios and results.
const Backend = "virtual"

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
	// Phase is "run", or the baseline that is being measured.
	Phase   string        `json:"phase"`
	Elapsed time.Duration `json:"elapsed"` // virtual time of the phase
	Total   time.Duration `json:"total"`
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

// The phases of a run in virtual time.
const (
	// connectLimit is how long the links have to come up before the run.
	connectLimit = 5 * time.Second
	// lateness is how long after its end answers and datagrams may come.
	lateness = time.Second
	// progressEvery is the virtual time between two reports of progress.
	progressEvery = 500 * time.Millisecond
)

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
		changed := *sc
		changed.Seed = *o.Seed
		sc = &changed
	}
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	r := &runner{options: o}
	baseline, err := r.baseline(ctx, sc)
	if err != nil {
		return nil, err
	}
	found, err := r.one(ctx, sc, "run", o.Observe)
	if err != nil {
		return nil, err
	}
	if baseline != nil {
		found.measurements[sc.Baseline] = baseline
	}
	result := &report.Result{
		Scenario: sc.Name, Backend: Backend, Seed: sc.Seed, Verdict: report.Pass,
		Measurements: found.measurements, Series: found.series,
		Expectations: scenario.Evaluate(sc, found.measurements),
		Emulator:     Health{Log: fmt.Sprintf("%016x", r.log), Simulated: r.simulated.Seconds(), Counters: found.counters},
		Environment:  report.Environment{Go: runtime.Version(), CPUs: 1, Commands: []string{}},
		Seconds:      time.Since(began).Seconds(),
	}
	judge(result, found.faults)
	return result, nil
}

// gcPercent trades memory for speed: the packets of a simulation live short.
const gcPercent = 400

func judge(r *report.Result, faults []string) {
	if len(faults) > 0 {
		r.Verdict, r.Reason = report.Fail, faults[0]
	}
	for _, e := range r.Expectations {
		if !e.OK {
			r.Verdict = report.Fail
		}
	}
}

// runner runs the simulations of one scenario.
type runner struct {
	options   Options
	simulated time.Duration
	log       uint64
}

// findings are what one simulation measured.
type findings struct {
	measurements map[string]any
	series       map[string]report.Series
	counters     Counters
	faults       []string
}

// baseline measures the traffic with each link alone: through the tunnel or
// past it. It is nil when the scenario wants none.
func (r *runner) baseline(ctx context.Context, sc *scenario.Scenario) (map[string]any, error) {
	if sc.Baseline == "" {
		return nil, nil
	}
	all := map[string]any{}
	for _, l := range sc.Links {
		found, err := r.one(ctx, onlyLink(sc, l.Name), sc.Baseline+" "+l.Name, nil)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", sc.Baseline, l.Name, err)
		}
		for _, name := range []string{"link", "client", "server", "capacity"} {
			delete(found.measurements, name)
		}
		all[l.Name] = found.measurements
	}
	return all, nil
}

// onlyLink is a scenario with one of its links, there from the start, and the
// traffic through the tunnel; for the baseline "bare" past the tunnel over that
// link. What the timeline does to the link's impairments happens here too.
func onlyLink(sc *scenario.Scenario, name string) *scenario.Scenario {
	one := *sc
	one.Baseline, one.Expect = "", nil
	one.Links = slices.DeleteFunc(slices.Clone(sc.Links), func(l scenario.Link) bool { return l.Name != name })
	one.Links[0].Present = true
	one.Traffic = slices.DeleteFunc(slices.Clone(sc.Traffic), func(t scenario.Traffic) bool { return t.Via.Kind != "tunnel" })
	if sc.Baseline == "bare" {
		for i := range one.Traffic {
			one.Traffic[i].Via = scenario.Via{Kind: "link", Link: name}
		}
	}
	one.Timeline = slices.DeleteFunc(slices.Clone(sc.Timeline), func(a scenario.Action) bool {
		return a.Do != "set" || a.Link != name
	})
	return &one
}

// one runs one simulation.
func (r *runner) one(ctx context.Context, sc *scenario.Scenario, phase string, observe func(Packet)) (*findings, error) {
	clientSide, serverSide, err := strategies(sc.Client, sc.Server)
	if err != nil {
		return nil, err
	}
	s, err := New(Config{
		Seed: sc.Seed, Links: sc.Links, Bottlenecks: sc.Bottlenecks,
		OuterIPv6: outerIPv6(sc), MTU: tableNumber(sc.Client, "tun", "mtu"),
		Client: clientSide, Server: serverSide, Observe: observe,
	})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if _, err := s.Start(ctx, connectLimit); err != nil {
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
	s.schedule(sc)
	links := s.sampleLinks(sc.Duration)
	if err := r.advance(ctx, s, sc.Duration, phase); err != nil {
		return nil, err
	}
	found := &findings{series: map[string]report.Series{}}
	if found.measurements, err = s.measure(sc); err != nil {
		return nil, err
	}
	links.series(found.series)
	if err := r.advance(ctx, s, sc.Duration+lateness, phase); err != nil {
		return nil, err
	}
	for _, t := range traffic {
		found.add(t)
	}
	found.counters = s.Counters()
	r.simulated += s.Now()
	r.log = (r.log ^ s.Sum()) * logPrime
	return found, nil
}

// advance runs a simulation to a time and tells how far it is.
func (r *runner) advance(ctx context.Context, s *Simulation, until time.Duration, phase string) error {
	for s.Now() < until {
		if r.options.Progress != nil {
			r.options.Progress(Progress{Phase: phase, Elapsed: s.Now(), Total: until})
		}
		if err := s.RunUntil(ctx, min(until, s.Now()+progressEvery)); err != nil {
			return err
		}
	}
	return nil
}

// schedule sees to the timeline.
func (s *Simulation) schedule(sc *scenario.Scenario) {
	keys := sc.Client
	for _, a := range sc.Timeline {
		if a.Do == "reload-client" {
			keys = merged(keys, a.Client)
		}
		now := keys
		s.at(a.At, func() {
			var err error
			if a.Do == "reload-client" {
				err = s.reload(now, sc.Server)
			} else {
				err = s.Do(a)
			}
			if err != nil {
				s.fail(fmt.Errorf("timeline, %s at %s: %w", a.Do, a.At, err))
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
	for _, a := range slices.Backward(sc.Timeline) {
		if a.Link != "" {
			if seconds, ok := s.Link(a.Link).RecoveredIn(); ok {
				clientStatus["recovered_in"] = seconds
			}
			break
		}
	}
	capacity := map[string]any{}
	down, up := scenario.Capacity(sc)
	for name, v := range map[string]float64{"down": down, "up": up} {
		if !math.IsInf(v, 0) && !math.IsNaN(v) {
			capacity[name] = v
		}
	}
	return map[string]any{
		"link": s.measureLinks(), "client": clientStatus, "server": serverStatus, "capacity": capacity,
	}, nil
}

// add takes over what a traffic found.
func (f *findings) add(t *Traffic) {
	o := t.Outcome()
	if len(o.Notes) > 0 {
		o.Values["notes"] = o.Notes
	}
	f.measurements[t.Name] = o.Values
	for name, series := range o.Series {
		f.series[t.Name+"."+name] = series
	}
	for _, fault := range o.Faults {
		f.faults = append(f.faults, t.Name+": "+fault)
	}
}
