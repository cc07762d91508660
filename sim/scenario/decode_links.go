package scenario

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

const (
	maxLinks = 16
	// maxInterfaceName is the kernel's IFNAMSIZ less the final zero.
	maxInterfaceName = 15
	minMTU, maxMTU   = 576, 9000
)

var (
	defaultQueue    = Queue{Time: 100 * time.Millisecond}
	interfaceName   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*$`)
	bottleneckName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,31}$`)
	impairmentNames = []string{"up", "down", "both"}
)

// linkState is what the decoder needs of a link beyond its own section: the
// impairments as nodes, which a "set" of the timeline changes key by key.
type linkState struct {
	name     string
	present  bool
	up, down *node
}

// links decodes the section and returns the state of each link at the start.
func (d *decoder) links(n *node, sc *Scenario) map[string]*linkState {
	states := map[string]*linkState{}
	if n == nil {
		return states
	}
	d.list(n, func(item *node) {
		l, state := d.link(item)
		sc.Links = append(sc.Links, l)
		switch name := item.get("name"); {
		case l.Name == "":
		case states[l.Name] != nil:
			d.bad(name, "a second link of that name")
		default:
			states[l.Name] = state
		}
	})
	if n.kind == sequenceNode && (len(n.items) < 1 || len(n.items) > maxLinks) {
		d.errorf(n.pos, "links: %d of them: must be 1 to %d", len(n.items), maxLinks)
	}
	return states
}

func (d *decoder) link(n *node) (Link, *linkState) {
	l := Link{NAT: true, Present: true}
	ok := d.mapping(n, "a link", map[string]setter{
		"name": d.linkName(&l.Name),
		"up":   elsewhere, "down": elsewhere, "both": elsewhere,
		"nat":     d.boolean(&l.NAT),
		"present": d.boolean(&l.Present),
	})
	if ok {
		d.required(n, "a link", "name")
	}
	state := &linkState{name: l.Name, present: l.Present}
	state.up, state.down = d.directions(n)
	l.Up, l.Down = d.impairment(state.up), d.impairment(state.down)
	return l, state
}

func (d *decoder) linkName(dst *string) setter {
	return func(n *node) {
		if !d.scalar(n, "must be the name of an interface") {
			return
		}
		*dst = n.text // even if it is wrong, so that what refers to it is not
		switch name := n.text; {
		case len(name) > maxInterfaceName:
			d.bad(n, "%d characters: the kernel allows an interface at most %d", len(name), maxInterfaceName)
		case name == "lo":
			d.bad(n, "that is the loopback interface's")
		case !interfaceName.MatchString(name):
			d.bad(n, "an interface here is named by a letter, then letters, digits, _ . or -")
		}
	}
}

// directions returns what up and down say, each over what both says.
func (d *decoder) directions(n *node) (up, down *node) {
	for _, key := range impairmentNames {
		if x := n.get(key); x != nil && x.kind != mappingNode {
			d.bad(x, "must be a mapping, such as {rate: 50mbit, delay: 10ms}")
			n.remove(key)
		}
	}
	both := n.get("both")
	return overlay(both, n.get("up")), overlay(both, n.get("down"))
}

func (d *decoder) impairment(n *node) Impairment {
	im := Impairment{Distribution: "uniform", Queue: defaultQueue}
	if n == nil {
		return im
	}
	d.mapping(n, "an impairment", map[string]setter{
		"rate":         parsed(d, &im.Rate, parseRate),
		"delay":        d.duration(&im.Delay),
		"jitter":       d.duration(&im.Jitter),
		"distribution": d.choice(&im.Distribution, "uniform", "normal"),
		"loss":         d.loss(&im.Loss),
		"reorder":      parsed(d, &im.Reorder, parseShare),
		"duplicate":    parsed(d, &im.Duplicate, parseShare),
		"corrupt":      parsed(d, &im.Corrupt, parseShare),
		"queue":        parsed(d, &im.Queue, parseQueue),
		"mtu":          d.integer(&im.MTU, minMTU, maxMTU),
		"block":        d.choice(&im.Block, "none", "udp"),
		"trace":        d.trace(&im.Trace),
	})
	if trace := n.get("trace"); trace != nil && n.get("rate") != nil {
		d.bad(trace, "not together with a rate: the trace gives it")
	}
	if dist := n.get("distribution"); dist != nil && n.get("jitter") == nil {
		d.bad(dist, "there is no jitter to distribute")
	}
	if im.Reorder > 0 && im.Delay == 0 {
		d.bad(n.get("reorder"), "needs a delay: a packet gets ahead by not waiting for it")
	}
	return im
}

// loss decodes a percentage, or a Gilbert-Elliott model.
func (d *decoder) loss(dst *Loss) setter {
	return func(n *node) {
		if n.kind != mappingNode {
			parsed(d, &dst.Good, parseShare)(n)
			return
		}
		model := Loss{Bad: 1}
		ok := d.mapping(n, "a loss model", map[string]setter{
			"p":    parsed(d, &model.P, parseShare),
			"r":    parsed(d, &model.R, parseShare),
			"good": parsed(d, &model.Good, parseShare),
			"bad":  parsed(d, &model.Bad, parseShare),
		})
		if !ok || !d.required(n, "a loss model", "p", "r") {
			return
		}
		if r := n.get("r"); model.R == 0 {
			d.bad(r, "must be above 0%%, or the bad state never ends")
		}
		*dst = model
	}
}

// trace decodes the path of a trace and checks that it is one.
func (d *decoder) trace(dst *string) setter {
	return func(n *node) {
		if !d.scalar(n, "must be the path of a file") {
			return
		}
		path := n.text
		if !filepath.IsAbs(path) {
			path = filepath.Join(d.dir, path)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			d.bad(n, "%s", err)
			return
		}
		switch info, err := os.Stat(path); {
		case err != nil:
			d.bad(n, "there is no such file (the path is relative to the scenario)")
			return
		case !info.Mode().IsRegular():
			d.bad(n, "not a file")
			return
		}
		if _, err := readTrace(path); err != nil {
			d.bad(n, "%s", err)
			return
		}
		*dst = path
	}
}

func (d *decoder) bottlenecks(n *node, sc *Scenario) {
	if n == nil {
		return
	}
	behind := map[string]string{} // link -> bottleneck
	names := map[string]bool{}
	d.list(n, func(item *node) {
		b := d.bottleneck(item)
		if b.Name != "" && names[b.Name] {
			d.bad(item.get("name"), "a second bottleneck of that name")
		}
		names[b.Name] = true
		for i, link := range b.Links {
			p := item.get("links").items[i]
			switch other, ok := behind[link]; {
			case !slices.Contains(linkNames(sc), link):
				d.errorf(p.pos, "no link is named %q: %s", link, suggest(link, linkNames(sc)))
			case ok:
				d.errorf(p.pos, "%q is behind bottleneck %q already: a link has at most one", link, other)
			default:
				behind[link] = b.Name
			}
		}
		sc.Bottlenecks = append(sc.Bottlenecks, b)
	})
}

func (d *decoder) bottleneck(n *node) Bottleneck {
	var b Bottleneck
	ok := d.mapping(n, "a bottleneck", map[string]setter{
		"name": func(n *node) {
			if !bottleneckName.MatchString(n.text) {
				d.bad(n, "must be a letter, then at most 31 letters, digits, _ or -")
				return
			}
			b.Name = n.text
		},
		"links": func(n *node) {
			d.list(n, func(item *node) {
				var link string
				d.text(&link)(item)
				b.Links = append(b.Links, link)
			})
		},
		"up": elsewhere, "down": elsewhere, "both": elsewhere,
	})
	if ok {
		d.required(n, "a bottleneck", "name", "links")
	}
	up, down := d.directions(n)
	b.Up, b.Down = d.impairment(up), d.impairment(down)
	return b
}

func linkNames(sc *Scenario) []string {
	var names []string
	for _, l := range sc.Links {
		if l.Name != "" {
			names = append(names, l.Name)
		}
	}
	return names
}

// elsewhere leaves a key to be decoded elsewhere.
func elsewhere(*node) {}
