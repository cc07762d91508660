package scenario

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// actionKeys are the keys each action has beyond those that all have: "at",
// "do", "every" and "until".
var actionKeys = map[string][]string{
	"blackhole":     {"link", "direction"},
	"restore":       {"link", "direction"},
	"unplug":        {"link"},
	"plug":          {"link"},
	"down":          {"link"},
	"up":            {"link"},
	"set":           {"link", "up", "down", "both"},
	"readdress":     {"link"},
	"rebind":        {"link"},
	"kill-server":   {},
	"start-server":  {},
	"kill-client":   {},
	"start-client":  {},
	"reload-client": {"client"},

	"suspend-client": {},
	"resume-client":  {},
}

// timeline decodes the section: the actions in the order of their times. The
// fate of links and processes is followed, so that an action on a link that is
// not plugged in is a fault.
func (d *decoder) timeline(n *node, links map[string]*linkState, sc *Scenario) {
	if n == nil {
		return
	}
	type placed struct {
		Action
		n *node
	}
	var actions []placed
	d.list(n, func(item *node) {
		a, r, ok := d.action(item, links, sc)
		if !ok {
			return
		}
		for ; r.times > 0 && len(actions) < maxActions; r.times-- {
			actions = append(actions, placed{a, item})
			a.At += r.every
		}
		if r.times > 0 {
			d.errorf(item.pos, "the timeline has more than %d actions", maxActions)
		}
	})
	slices.SortStableFunc(actions, func(a, b placed) int { return cmp.Compare(a.At, b.At) })
	running := map[string]bool{"client": true, "server": true}
	for _, a := range actions {
		d.follow(a.n, &a.Action, links, running)
		sc.Timeline = append(sc.Timeline, a.Action)
	}
}

// maxActions bounds a timeline, repetitions counted.
const maxActions = 10_000

// repetition is how often an action is done, and how far apart.
type repetition struct {
	every time.Duration
	until time.Duration // no longer at that time
	times int
}

func (d *decoder) action(n *node, links map[string]*linkState, sc *Scenario) (Action, repetition, bool) {
	var a Action
	var r repetition
	before := len(d.errs)
	ok := d.mapping(n, "an action", map[string]setter{
		"at":        d.duration(&a.At),
		"do":        d.do(&a.Do),
		"link":      d.actionLink(&a.Link, links),
		"direction": d.choice(&a.Direction, "up", "down", "both"),
		"up":        elsewhere, "down": elsewhere, "both": elsewhere,
		"client": d.config(&a.Client),
		"every":  d.duration(&r.every),
		"until":  d.duration(&r.until),
	})
	if !ok || !d.required(n, "an action", "at", "do") || a.Do == "" {
		return a, r, false
	}
	d.checkAction(n, &a)
	d.checkRepetition(n, a.At, &r)
	for key, t := range map[string]time.Duration{"at": a.At, "until": r.until} {
		if sc.Duration > 0 && t > sc.Duration {
			d.bad(n.get(key), "after the end of the run, at %s", sc.Duration)
		}
	}
	return a, r, len(d.errs) == before
}

// checkRepetition checks what stands under every and until, and counts.
func (d *decoder) checkRepetition(n *node, at time.Duration, r *repetition) {
	every, until := n.get("every"), n.get("until")
	r.times = 1
	switch {
	case every == nil && until == nil:
	case every == nil || until == nil:
		d.errorf(n.pos, "every and until go together: the action is repeated from at on, until then")
	case r.every < time.Millisecond:
		d.bad(every, "must be at least 1ms")
	case r.until <= at:
		d.bad(until, "must be after at, %s", at)
	default:
		r.times = int((r.until - at + r.every - 1) / r.every)
	}
}

func (d *decoder) do(dst *string) setter {
	return func(n *node) {
		actions := slices.Sorted(maps.Keys(actionKeys))
		switch {
		case !d.scalar(n, "must be an action"):
		case !slices.Contains(actions, n.text):
			d.bad(n, "no action: %s", suggest(n.text, actions))
		default:
			*dst = n.text
		}
	}
}

func (d *decoder) actionLink(dst *string, links map[string]*linkState) setter {
	return func(n *node) {
		switch {
		case !d.scalar(n, "must be the name of a link"):
		case links[n.text] == nil:
			d.bad(n, "no link is named so: %s", suggest(n.text, slices.Sorted(maps.Keys(links))))
		default:
			*dst = n.text
		}
	}
}

// checkAction refuses keys that an action does not have, and asks for those
// it needs.
func (d *decoder) checkAction(n *node, a *Action) {
	own := actionKeys[a.Do]
	for _, e := range n.entries {
		if slices.Contains([]string{"at", "do", "every", "until"}, e.key) || e.value.isNull() || slices.Contains(own, e.key) {
			continue
		}
		if slices.Contains(slices.Concat(slices.Collect(maps.Values(actionKeys))...), e.key) {
			d.errorf(e.pos, "%s is no key of the action %s (it has %s)", e.key, a.Do, cmp.Or(strings.Join(own, ", "), "none"))
		}
	}
	for _, key := range []string{"link", "client"} {
		if slices.Contains(own, key) {
			d.required(n, "the action "+a.Do, key)
		}
	}
	if slices.Contains(own, "direction") {
		a.Direction = cmp.Or(a.Direction, "both")
	}
	if a.Do == "set" {
		if n.get("up") == nil && n.get("down") == nil && n.get("both") == nil {
			d.errorf(n.pos, "the action set needs new impairments under up, down or both")
		}
	}
}

// follow applies an action to the state of the links and processes.
func (d *decoder) follow(n *node, a *Action, links map[string]*linkState, running map[string]bool) {
	state := links[a.Link]
	role := strings.TrimPrefix(strings.TrimPrefix(a.Do, "kill-"), "start-")
	switch a.Do {
	case "set":
		d.change(n, a, state)
	case "plug":
		if state.present {
			d.errorf(n.pos, "%s is plugged in at %s already", a.Link, a.At)
		}
		state.present = true
	case "unplug", "blackhole", "down", "up", "readdress", "rebind":
		if !state.present {
			d.errorf(n.pos, "%s is not plugged in at %s", a.Link, a.At)
		}
		state.present = a.Do != "unplug"
	case "kill-server", "kill-client":
		if !running[role] {
			d.errorf(n.pos, "the %s is not running at %s", role, a.At)
		}
		running[role] = false
		running[suspended] = running[suspended] && role != "client"
	case "start-server", "start-client":
		if running[role] {
			d.errorf(n.pos, "the %s is running at %s already", role, a.At)
		}
		running[role] = true
	case "suspend-client", "resume-client":
		d.suspend(n, a, running)
	case "reload-client":
		d.checkConfig(d.opts.CheckClient, a.Client, n.get("client"))
	}
}

// suspended is the entry for a client that is suspended.
const suspended = "suspended client"

// suspend checks that a client is suspended while it runs, and resumed after
// that.
func (d *decoder) suspend(n *node, a *Action, running map[string]bool) {
	stop := a.Do == "suspend-client"
	switch {
	case !running["client"]:
		d.errorf(n.pos, "the client is not running at %s", a.At)
	case running[suspended] == stop && stop:
		d.errorf(n.pos, "the client is suspended at %s already", a.At)
	case running[suspended] == stop:
		d.errorf(n.pos, "the client is not suspended at %s", a.At)
	}
	running[suspended] = stop
}

// change makes the whole new impairments of a "set": the keys it gives, and
// for the rest what the link had before.
func (d *decoder) change(n *node, a *Action, state *linkState) {
	up, down := d.directions(n)
	if up != nil {
		state.up = change(state.up, up)
		im := d.impairment(state.up)
		a.Up = &im
	}
	if down != nil {
		state.down = change(state.down, down)
		im := d.impairment(state.down)
		a.Down = &im
	}
}

// change puts new impairments over old ones; a rate replaces a trace and the
// reverse.
func change(before, now *node) *node {
	merged := overlay(before, now)
	if before == nil {
		return merged
	}
	for key, other := range map[string]string{"rate": "trace", "trace": "rate"} {
		if now.get(key) != nil && now.get(other) == nil {
			merged.remove(other)
		}
	}
	return merged
}
