package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/types"
)

// reservedNames are words an expression means something else by.
var reservedNames = []string{
	"link", "client", "server", "capacity", BaselineAlone, BaselineBare,
	"true", "false", "nil", "not", "in", "and", "or", "let", "if", "else",
	"matches", "contains", "startsWith", "endsWith",
}

// measures are the measurements of each kind of traffic in one direction; a
// dot leads to a group. What only some traffic of a kind has is added by
// measuresOf.
var measures = map[string][]string{
	"tcp":  {"goodput", "bytes", "stall", "regained", "retransmits", "spurious", "reordered", "failed"},
	"udp":  {"goodput", "bytes", "stall", "regained", "sent", "loss", "duplicates", "reordered", "delay.p50", "delay.p95", "delay.p99"},
	"rtp":  {"sent", "loss", "late", "duplicates", "reordered", "stall", "jitter", "mos", "reports", "delay.p50", "delay.p95", "delay.p99"},
	"ping": {"sent", "loss", "rtt.min", "rtt.avg", "rtt.p50", "rtt.p95", "rtt.p99", "rtt.max", "rtt.mdev"},
	"http": {"goodput", "bytes", "stall", "regained", "retransmits", "spurious", "reordered", "failed", "fct.p50", "fct.p95", "fct.p99"},
	"dns":  {"queries", "failed", "rtt.min", "rtt.avg", "rtt.p50", "rtt.p95", "rtt.p99", "rtt.max", "rtt.mdev"},
}

// linkMeasures are the measurements of a direction of a link.
var linkMeasures = []string{"bytes", "packets", "dropped", "queued_max", "regained"}

// names is a tree of what expressions can name. A node without fields is a
// number, or anything at all where it is open.
type names struct {
	fields map[string]*names
	open   bool
}

// anyName is the field that stands for every name.
const anyName = "*"

// add makes a dotted name below n.
func (n *names) add(path string, leaf names) {
	key, rest, more := strings.Cut(path, ".")
	if n.fields == nil {
		n.fields = map[string]*names{}
	}
	next := n.fields[key]
	if next == nil {
		next = &names{}
		n.fields[key] = next
	}
	if more {
		next.add(rest, leaf)
		return
	}
	if next.fields == nil {
		*next = leaf
	}
}

// addAll makes numbers below a prefix.
func (n *names) addAll(prefix string, paths []string) {
	for _, p := range paths {
		n.add(prefix+"."+p, names{})
	}
}

// field returns what a part of a name leads to.
func (n *names) field(part string) *names {
	if f := n.fields[part]; f != nil {
		return f
	}
	if f := n.fields[anyName]; f != nil {
		return f
	}
	if n.open {
		return n
	}
	return nil
}

func (n *names) isNumber() bool { return n.fields == nil && !n.open }

func (n *names) known() []string { return slices.Sorted(maps.Keys(n.fields)) }

// typeOf is the type of a name in an expression.
func (n *names) typeOf() types.Type {
	switch {
	case n.open:
		return types.Any
	case n.isNumber():
		return types.Float64
	}
	m := types.Map{}
	for key, f := range n.fields {
		if key == anyName {
			key = types.Extra
		}
		m[key] = f.typeOf()
	}
	return m
}

// catalogue is all that the expectations of a scenario can name.
func catalogue(sc *Scenario, status func(role string) []string) *names {
	root := &names{}
	root.addAll("capacity", []string{"down", "up"})
	for _, t := range sc.Traffic {
		if t.Kind == "" {
			root.add(t.Name, names{open: true}) // its fault is reported already
			continue
		}
		root.addAll(t.Name, measuresOf(t))
	}
	for _, l := range sc.Links {
		// Link names may have dots, so they are not part of a path here.
		root.add("link", names{fields: map[string]*names{}})
		one := &names{}
		one.addAll("down", linkMeasures)
		one.addAll("up", linkMeasures)
		root.fields["link"].fields[l.Name] = one
		if sc.Baseline != "" {
			root.add(sc.Baseline, names{fields: map[string]*names{}})
			root.fields[sc.Baseline].fields[l.Name] = baselineNames(sc)
		}
	}
	for _, role := range []string{"client", "server"} {
		root.fields[role] = statusNames(role, status)
	}
	root.fields["client"].add("recovered_in", names{})
	return root
}

// measuresOf lists what a traffic measures: under its directions where it has
// both.
func measuresOf(t Traffic) []string {
	list := measures[t.Kind]
	if t.Kind == "tcp" && t.Size > 0 {
		list = append(slices.Clone(list), "fct.p50", "fct.p95", "fct.p99")
	}
	if t.Direction != "both" {
		return list
	}
	var both []string
	for _, direction := range []string{"down", "up"} {
		for _, m := range list {
			both = append(both, direction+"."+m)
		}
	}
	return both
}

// baselineNames are the measurements of the traffic through the tunnel, which
// a baseline repeats with one link.
func baselineNames(sc *Scenario) *names {
	n := &names{fields: map[string]*names{}}
	for _, t := range sc.Traffic {
		if t.Via.Kind == "tunnel" {
			n.addAll(t.Name, measuresOf(t))
		}
	}
	return n
}

func statusNames(role string, status func(string) []string) *names {
	var list []string
	if status != nil {
		list = status(role)
	}
	if len(list) == 0 {
		return &names{fields: map[string]*names{}, open: true}
	}
	n := &names{}
	for _, path := range list {
		n.add(path, names{open: true})
	}
	return n
}

// check says what is wrong with a name, given as its parts: "" if nothing is.
func (n *names) check(parts []string) string {
	at := n
	for i, part := range parts {
		next := at.field(part)
		so := strings.Join(parts[:i], ".")
		switch {
		case next != nil:
			at = next
		case i == 0:
			return fmt.Sprintf("nothing measured is named %q: %s", part, suggest(part, at.known()))
		case at.isNumber():
			return fmt.Sprintf("%s is a number: it has no %q", so, part)
		default:
			return fmt.Sprintf("%s has no %q: %s", so, part, suggest(part, at.known()))
		}
	}
	if !at.isNumber() && !at.open {
		return fmt.Sprintf("%s is not a number itself, it has %s", strings.Join(parts, "."), strings.Join(at.known(), ", "))
	}
	return ""
}
