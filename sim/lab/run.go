package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
	"github.com/multilink-vpn/multilink/sim/tune"
)

// run is one run of a scenario: the topology, what is started in it, and what
// is found.
type run struct {
	sc       *scenario.Scenario
	opts     Options
	label    string // the scenario's name, and which baseline it is
	impair   string // the backend in use
	manifest *manifest
	topology *topology
	product  *product // nil if there is nothing of the tunnel
	captures *captures
	machine  report.Environment
	recovery recovery
	links    linkSeries
	origin   time.Time // of the run's time

	mu     sync.Mutex
	phase  string
	found  findings
	broken []string // what no run may pass with
	notUp  bool     // that it did not come up is among it
}

// findings are what a run measured.
type findings struct {
	measurements map[string]any
	series       map[string]report.Series
	health       emu.Health
}

// runOnce runs a scenario once, without its baselines, and calls found when all
// is found. The error is about the testbed; what the product did wrong is in
// run.broken.
func runOnce(ctx context.Context, sc *scenario.Scenario, o Options, label string, found func(*run)) error {
	r := newRun(sc, o, label)
	err := r.within(ctx, func() error {
		if len(r.broken) == 0 {
			if err := r.measure(ctx); err != nil {
				return err
			}
		}
		r.found.health = r.topology.impairer.Health()
		r.keep(ctx)
		return nil
	})
	if err != nil {
		return err
	}
	found(r)
	return nil
}

func newRun(sc *scenario.Scenario, o Options, label string) *run {
	return &run{sc: sc, opts: o, label: label, links: newLinkSeries(),
		found: findings{measurements: map[string]any{}, series: map[string]report.Series{}}}
}

// within builds the network, starts the product, does what is to be done
// there, and removes everything. A product that does not come up is in
// r.broken, and the function is called all the same.
func (r *run) within(ctx context.Context, do func() error) (err error) {
	withProduct := needsProduct(r.sc)
	if err := checkMachine(withProduct); err != nil {
		return err
	}
	if withProduct && r.opts.Binary == "" {
		return fmt.Errorf("%w: the multilink program was not found", ErrMachine)
	}
	defer tune.Process()()
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = ctx.Err() // whatever it looked like where it struck
		}
		err = errors.Join(err, r.remove())
	}()
	if err := r.build(); err != nil {
		return err
	}
	if withProduct {
		if err := r.startProduct(ctx); err != nil {
			return err
		}
	}
	r.machine = r.environment(ctx)
	if err := do(); err != nil {
		return err
	}
	r.stopProduct()
	return nil
}

// build makes the network.
func (r *run) build() error {
	r.enter("building the network")
	n := newNames()
	m, err := newManifest(n, r.sc.Name, len(r.sc.Links))
	if err != nil {
		return fmt.Errorf("announcing the run: %w", err)
	}
	r.manifest = m
	if r.opts.PcapDir != "" {
		if r.captures, err = newCaptures(filepath.Clean(r.opts.PcapDir), r.log); err != nil {
			return err
		}
	}
	for _, backend := range backends(r.opts) {
		r.impair = backend
		r.topology, err = newTopology(n, r.sc, func(middle *space) (emu.Impairer, error) {
			return newImpairer(backend, middle.ns, emu.Options{Seed: r.sc.Seed, PcapSink: r.sink})
		})
		if !errors.Is(err, emu.ErrUnsupported) {
			break
		}
		r.log("%v", err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMachine, err)
	}
	if r.captures != nil {
		return r.captures.machines(r.topology)
	}
	return nil
}

// sink takes every frame that the emulator sees, on its thread.
func (r *run) sink(c emu.Captured) {
	r.recovery.see(c)
	if r.captures != nil {
		r.captures.link(c)
	}
}

// startProduct starts server and client. That they do not come up is a finding
// about them, not an error.
func (r *run) startProduct(ctx context.Context) error {
	r.enter("starting server and client")
	p, err := newProduct(ctx, r.opts.Binary, r.manifest.folder(), r.topology, r.sc)
	if err != nil {
		return err
	}
	r.product = p
	anyLink := false
	for _, l := range r.topology.links {
		anyLink = anyLink || l.plugged
	}
	err = p.startAll(ctx, anyLink)
	if err != nil && ctx.Err() == nil {
		_, r.notUp = errors.AsType[notUpError](err)
		r.broke("%v", err)
	}
	return ctx.Err()
}

// measure runs traffic and timeline and takes the measurements.
func (r *run) measure(ctx context.Context) error {
	if err := r.mptcp(); err != nil {
		return err
	}
	r.origin = time.Now()
	r.enter("running")
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	fail := func(err error) {
		if err != nil {
			cancel(err) // the first one counts
		}
	}
	wg.Go(func() { fail(r.runTimeline(running)) })
	for _, t := range r.sc.Traffic {
		wg.Go(func() { fail(r.runTraffic(running, t)) })
	}
	if !r.sc.EndsBySize() {
		wg.Go(func() { fail(traffic.SleepUntil(running, r.origin.Add(r.sc.Duration))) })
	}
	ticking := r.tick(running)
	wg.Wait()
	failed := context.Cause(running)
	cancel(nil)
	ticking.Wait()
	maps.Copy(r.found.series, r.links.into)
	if failed != nil {
		return failed
	}
	return r.collect(ctx)
}

// runTraffic runs one traffic and keeps what it found.
func (r *run) runTraffic(ctx context.Context, t scenario.Traffic) error {
	host := r.topology.hosts[t.To-1]
	job := traffic.Job{
		Traffic: t,
		Client:  traffic.End{NS: r.topology.client.ns},
		Host:    traffic.End{NS: host.ns, Addr: hostAddress(t.To, t.IP)},
		Origin:  r.origin,
		Warmup:  r.sc.Warmup,
		Until:   r.sc.Duration,
		Seed:    scenario.DeriveSeed(r.sc.Seed, "traffic", t.Name),
	}
	switch t.Via.Kind {
	case "link":
		job.Client.Device, job.Client.Mark = t.Via.Link, clientMark(r.sc)
	case "mptcp":
		job.Client.Mark = clientMark(r.sc)
		job.Client.Multipath, job.Host.Multipath = true, true
	}
	out, err := traffic.Run(ctx, job)
	if err != nil {
		return err
	}
	for _, fault := range out.Faults {
		r.broke("%s: %s", t.Name, fault)
	}
	for _, note := range out.Notes {
		r.say("%s: %s", t.Name, note)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found.measurements[t.Name] = out.Values
	for name, series := range out.Series {
		r.found.series[t.Name+"."+name] = series
	}
	return nil
}

// keep leaves everything up until the context ends, if asked to.
func (r *run) keep(ctx context.Context) {
	if !r.opts.Keep {
		return
	}
	r.enter("kept: interrupt to remove everything")
	for _, s := range r.topology.made {
		r.log("ip netns exec %s bash", s.name)
	}
	r.log("all of it is up and is removed at the interrupt (ctrl-C)")
	<-ctx.Done()
}

func (r *run) stopProduct() {
	if r.product == nil {
		return
	}
	r.enter("stopping client and server")
	for _, err := range append(r.product.faults(), r.product.stop()...) {
		r.broke("%v", err)
	}
	r.machine.Commands = r.product.commands
}

// remove ends and removes everything that the run made.
func (r *run) remove() error {
	var errs []error
	if r.product != nil {
		r.product.stop() // after an error; else it has ended
	}
	if r.topology != nil {
		errs = append(errs, r.topology.remove())
	}
	if r.captures != nil { // after the emulator, which feeds them
		errs = append(errs, r.captures.close())
	}
	if r.manifest != nil {
		errs = append(errs, r.manifest.clear())
	}
	return errors.Join(errs...)
}

// enter begins a phase.
func (r *run) enter(phase string) {
	r.mu.Lock()
	r.phase = phase
	r.mu.Unlock()
	r.progress("")
	r.log("%s", phase)
}

// say tells one line of news.
func (r *run) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.progress(line)
	if r.origin.IsZero() {
		r.log("%s", line)
		return
	}
	r.log("%6.2f s: %s", time.Since(r.origin).Seconds(), line)
}

func (r *run) progress(line string) {
	if r.opts.Progress == nil {
		return
	}
	r.mu.Lock()
	p := Progress{Scenario: r.label, Phase: r.phase, Line: line}
	r.mu.Unlock()
	if !r.origin.IsZero() {
		p.Elapsed, p.Total = time.Since(r.origin), r.sc.Duration
		p.Links = r.carried()
	}
	r.opts.Progress(p)
}

// carried is what each link has delivered up to now.
func (r *run) carried() []LinkProgress {
	var all []LinkProgress
	for _, l := range r.sc.Links {
		now := LinkProgress{Name: l.Name}
		// A link that was not plugged in yet has carried nothing.
		if st, err := r.topology.impairer.Stats(l.Name, emu.Up); err == nil {
			now.Up = st.BytesOut
		}
		if st, err := r.topology.impairer.Stats(l.Name, emu.Down); err == nil {
			now.Down = st.BytesOut
		}
		all = append(all, now)
	}
	return all
}

// progressEvery is how often a run says how far it is.
const progressEvery = 250 * time.Millisecond

// tick reports progress and samples the links until the context ends.
func (r *run) tick(ctx context.Context) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() {
		for traffic.SleepUntil(ctx, time.Now().Add(progressEvery)) == nil {
			r.links.sample(time.Since(r.origin), r.carried())
			r.progress("")
		}
	})
	return &wg
}

func (r *run) log(format string, args ...any) {
	if r.opts.Log == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = io.WriteString(r.opts.Log, r.label+": "+fmt.Sprintf(format, args...)+"\n")
}

// broke notes what no run may pass with, once.
func (r *run) broke(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.mu.Lock()
	known := slices.Contains(r.broken, text)
	if !known {
		r.broken = append(r.broken, text)
	}
	r.mu.Unlock()
	if !known {
		r.say("%s", text)
	}
}
