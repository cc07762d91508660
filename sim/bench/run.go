package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Options say what to measure.
type Options struct {
	// Binary is the product, Wireguard the reference; "" leaves the reference
	// out, and with it all ratios to it.
	Binary, Wireguard string
	// Pairs is how often each exercise is done with each tunnel, Time how long
	// each takes.
	Pairs int
	Time  time.Duration
	// Only names the exercises to do; none: all of them.
	Only []string
	// Client is what the client's configuration says beyond what the
	// measurement needs.
	Client map[string]any
	// Features adds the product with one feature after the other switched off.
	Features bool
	// Profile is the file that a profile of the product's processor time is
	// written to, of both ends and all exercises; "": none is taken.
	Profile string
	// OverSocket carries HTTP to a status socket of the product, for profiles.
	OverSocket func(path string) *http.Transport
	// Progress, which may be nil, is told what is being done.
	Progress func(string)
}

// ErrUsage is about Options that cannot be carried out.
var ErrUsage = errors.New("bench")

// Names lists the exercises.
func Names() []string {
	var names []string
	for _, e := range exercises() {
		names = append(names, e.name)
	}
	return names
}

// The names of the tunnels in results.
const (
	productName   = "multilink"
	twoLinksName  = "multilink-two-links"
	referenceName = "wireguard-go"
	bareName      = "bare"
)

// Run builds the tunnels, measures and takes everything away again.
func Run(ctx context.Context, o Options) (*Result, error) {
	list, err := chosen(o)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "multilink-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	var worlds []*world
	defer func() {
		for _, w := range worlds {
			w.close()
		}
	}()
	specs := products(o)
	for range specs {
		w, err := newWorld()
		if err != nil {
			return nil, err
		}
		worlds = append(worlds, w)
	}
	tunnels, err := startTunnels(ctx, worlds, specs, o, folder)
	defer func() {
		for _, t := range tunnels {
			t.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	r := newResult(o)
	if o.Profile != "" {
		r.profiler = &profiler{over: o.OverSocket}
	}
	if err := r.measure(ctx, list, tunnels); err != nil {
		return nil, err
	}
	if r.profiler != nil {
		return r, r.profiler.write(o.Profile)
	}
	return r, nil
}

// measure does all exercises and looks at the machine before, meanwhile and
// after.
func (r *Result) measure(ctx context.Context, list []exercise, tunnels []*tunnel) error {
	busyBefore, err := atRest(ctx)
	if err != nil {
		return err
	}
	before := processors()
	for pair := range r.options.Pairs {
		for _, e := range list {
			if err := r.pair(ctx, e, tunnels, pair); err != nil {
				return err
			}
		}
	}
	_, stolen := processors().share(before)
	busyAfter, err := atRest(ctx)
	if err != nil {
		return err
	}
	r.finish(stolen, max(busyBefore, busyAfter))
	return nil
}

func chosen(o Options) ([]exercise, error) {
	if o.Pairs < 1 || o.Time < 100*time.Millisecond {
		return nil, fmt.Errorf("%w: %d pairs of %v: want at least one of 100ms", ErrUsage, o.Pairs, o.Time)
	}
	for _, name := range o.Only {
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("%w: no exercise %q: there are %s", ErrUsage, name, strings.Join(Names(), ", "))
		}
	}
	var list []exercise
	for _, e := range exercises() {
		if len(o.Only) == 0 || slices.Contains(o.Only, e.name) {
			list = append(list, e)
		}
	}
	return list, nil
}

// products are the tunnels of the product that are measured.
func products(o Options) []multilinkSpec {
	specs := []multilinkSpec{
		{name: productName, number: 1, links: 1, client: o.Client},
		{name: twoLinksName, number: 2, links: 2, client: o.Client},
	}
	if o.Features {
		for _, f := range features() {
			specs = append(specs, f.spec(len(specs)+1, o.Client))
		}
	}
	return specs
}

// startTunnels starts all of them; those that run are returned also with an
// error. Only one is loaded at a time, and an idle one costs next to nothing.
// Each client of the product is in a world of its own: two of them would want
// the same routing rules.
func startTunnels(ctx context.Context, worlds []*world, specs []multilinkSpec, o Options, folder string) ([]*tunnel, error) {
	tunnels := []*tunnel{{name: bareName, world: worlds[0], client: cableAddress(0), server: serverHost}}
	for i, spec := range specs {
		t, err := startMultilink(ctx, worlds[i], o.Binary, folder, spec)
		if err != nil {
			return tunnels, err
		}
		tunnels = append(tunnels, t)
	}
	if o.Wireguard != "" {
		t, err := startWireguard(ctx, worlds[0], o.Wireguard, folder)
		if err != nil {
			return tunnels, err
		}
		tunnels = append(tunnels, t)
	}
	for _, t := range tunnels {
		if err := t.waitUp(ctx); err != nil {
			return tunnels, err
		}
	}
	return tunnels, nil
}

// takesPart tells whether a tunnel does an exercise: the bare cable only
// answers echo requests, two links are compared by one stream, and what lacks a
// feature is loaded.
func takesPart(t *tunnel, e exercise) bool {
	switch t.name {
	case bareName:
		return e.name == "ping"
	case twoLinksName:
		return strings.HasPrefix(e.name, "tcp1-")
	case productName, referenceName:
		return true
	}
	return len(e.costs) > 0
}

// pair does one exercise with each tunnel, every other time in the opposite
// order.
func (r *Result) pair(ctx context.Context, e exercise, tunnels []*tunnel, pair int) error {
	order := slices.Clone(tunnels)
	if pair%2 == 1 {
		slices.Reverse(order)
	}
	for _, t := range order {
		if !takesPart(t, e) {
			continue
		}
		if r.options.Progress != nil {
			r.options.Progress(fmt.Sprintf("pair %d of %d: %s, %s", pair+1, r.options.Pairs, t.name, e.about))
		}
		profiled := func() error { return nil }
		if r.profiler != nil && t.name == productName {
			profiled = r.profiler.start(ctx, t, r.options.Time)
		}
		found, err := e.run(ctx, t, r.options.Time)
		if err = errors.Join(err, profiled(), ctx.Err(), t.fault()); err != nil {
			return fmt.Errorf("%s, %s: %w", t.name, e.name, err)
		}
		for key, value := range found {
			r.add(t.name, e.name+"."+key, value)
		}
	}
	return nil
}
