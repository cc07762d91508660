package scenario

import (
	"errors"
	"regexp"
	"time"
)

// The defaults of a scenario.
const (
	defaultSeed   = 1
	defaultWarmup = 3 * time.Second
	minDuration   = time.Millisecond
)

var scenarioName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// scenario decodes the whole tree. The parts are read in an order in which
// each can be checked against those before it, whatever their order in the
// file.
func (d *decoder) scenario(root *node, sc *Scenario) {
	*sc = Scenario{
		Path: sc.Path, Seed: defaultSeed, Warmup: defaultWarmup,
		Backends: []string{Namespaces, VirtualTime}, Underlay: Underlay4,
		Client: map[string]any{}, Server: map[string]any{},
	}
	parts := map[string]*node{}
	part := func(n *node) { parts[n.key] = n }
	d.mapping(root, "a scenario", map[string]setter{
		"name":     d.scenarioName(&sc.Name),
		"about":    d.text(&sc.About),
		"seed":     d.seed(&sc.Seed),
		"backend":  d.backends(&sc.Backends),
		"warmup":   d.duration(&sc.Warmup),
		"duration": d.positive(&sc.Duration, minDuration),
		"underlay": d.underlay(&sc.Underlay),
		"baseline": d.choice(&sc.Baseline, BaselineAlone, BaselineBare),
		"client":   d.config(&sc.Client),
		"server":   d.config(&sc.Server),
		"links":    part, "bottlenecks": part, "traffic": part, "timeline": part, "expect": part,
	})
	d.required(root, "a scenario", "name", "links")
	links := d.links(parts["links"], sc)
	d.bottlenecks(parts["bottlenecks"], sc)
	traffic := d.traffic(parts["traffic"], sc)
	d.durations(root, traffic, sc)
	d.timeline(parts["timeline"], links, sc)
	d.checkConfig(d.opts.CheckClient, sc.Client, root.get("client"))
	d.checkConfig(d.opts.CheckServer, sc.Server, root.get("server"))
	d.expectations(parts["expect"], sc)
}

func (d *decoder) scenarioName(dst *string) setter {
	return func(n *node) {
		if !d.scalar(n, "must be a name") {
			return
		}
		if !scenarioName.MatchString(n.text) || len(n.text) > 64 {
			d.bad(n, "must be at most 64 of a-z and 0-9, with single - between them")
			return
		}
		*dst = n.text
	}
}

func (d *decoder) seed(dst *uint64) setter {
	return func(n *node) {
		switch v := n.value.(type) {
		case uint64:
			*dst = v
		case int64:
			if v < 0 {
				d.bad(n, "cannot be negative")
				return
			}
			*dst = uint64(v)
		default:
			d.bad(n, "must be a whole number")
		}
	}
}

func (d *decoder) backends(dst *[]string) setter {
	return func(n *node) {
		var names []string
		one := func(n *node) {
			var name string
			d.choice(&name, Namespaces, VirtualTime)(n)
			if name != "" {
				names = append(names, name)
			}
		}
		if n.kind == scalarNode {
			one(n)
		} else {
			d.list(n, one)
			if len(n.items) == 0 {
				d.bad(n, "must name %s, %s or both", Namespaces, VirtualTime)
			}
		}
		*dst = names
	}
}

func (d *decoder) underlay(dst *Underlay) setter {
	return func(n *node) {
		s := string(*dst)
		d.choice(&s, string(Underlay4), string(Underlay6), string(UnderlayBoth))(n)
		*dst = Underlay(s)
	}
}

// durations settles how long the run is, and that all traffic lies within it.
func (d *decoder) durations(root *node, traffic []*node, sc *Scenario) {
	if root.get("duration") == nil {
		sc.Duration = d.endOfTraffic(root, sc)
	}
	if sc.Duration == 0 {
		return
	}
	switch warmup := root.get("warmup"); {
	case warmup == nil && sc.Warmup >= sc.Duration:
		sc.Warmup = 0
	case warmup != nil && sc.Warmup >= sc.Duration:
		d.bad(warmup, "must be less than the %s of the run, or nothing is left to measure", sc.Duration)
	}
	for i, t := range sc.Traffic {
		if t.Start >= sc.Duration {
			d.errorf(traffic[i].pos, "traffic %q starts at %s, but the run ends at %s", t.Name, t.Start, sc.Duration)
		} else if t.Start+t.Duration > sc.Duration {
			d.errorf(traffic[i].pos, "traffic %q ends at %s, but the run ends at %s", t.Name, t.Start+t.Duration, sc.Duration)
		}
	}
}

// endOfTraffic is the length of a run that does not give its own, at most as
// long where it depends on how fast the traffic is.
func (d *decoder) endOfTraffic(root *node, sc *Scenario) time.Duration {
	var end time.Duration
	for _, t := range sc.Traffic {
		switch {
		case t.Duration > 0:
			end = max(end, t.Start+t.Duration)
		case t.Size > 0:
			end = max(end, t.Start+defaultLimit)
		}
	}
	if end == 0 {
		d.errorf(root.pos, "a scenario needs a duration, or traffic that ends: one with a duration or a size")
	}
	return end
}

// checkConfig runs a check of the product on its keys and shows each fault at
// the key it is about.
func (d *decoder) checkConfig(check func(map[string]any) error, keys map[string]any, n *node) {
	if check == nil || n == nil {
		return
	}
	for _, err := range flatten(check(keys)) {
		p := n.pos
		var k *KeyError
		if errors.As(err, &k) {
			p = n.find(k.Key).pos
		}
		d.errorf(p, "%s: %s", n.key, err)
	}
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}
