package sched

import "github.com/multilink-vpn/multilink/core"

// The table of flow: sets of ways, 32 KiB. A flow's set is given by its hash, so
// that looking it up is a walk over one set; when that is full the flow that
// was quiet for longest is forgotten and chosen anew should it come back.
const (
	flowSets = 256
	flowWays = 8
)

// flowLookahead is how far behind the head a packet for an open link is looked
// for, and flowRun how many are taken at once. Flows take turns in the queue, so
// that only those that share a bucket are behind one another.
const (
	flowLookahead = 16
	flowRun       = 32
)

// flow pins each flow to one link, new ones in proportion to the links' rates,
// and moves it only when the link goes: what SD-WAN products and balancing
// routers do (per-flow equal-cost multipath, RFC 2992, with weights). It never
// reorders a flow and never makes one faster than its link.
type flow struct {
	pins   [flowSets][flowWays]pin
	shares shares
}

// pin is the link of a flow.
type pin struct {
	flow uint32
	link core.LinkID
	used core.Time // 0: the place is free
}

// byID finds the candidates of a view.
type byID [core.MaxLinks]*Link

func (*flow) Name() string { return "flow" }

func (s *flow) Pick(v *View) (Choice, core.Time, bool) {
	var there byID
	wake, open := core.Never, false
	candidates(v.Links, func(l *Link) {
		there[l.ID] = l
		if l.Open {
			open = true
		} else {
			wake = min(wake, l.OpensAt)
		}
	})
	if !open {
		return Choice{}, wake, false
	}
	var l *Link
	var last uint32
	for i := range min(v.Queue.Len(), flowLookahead) {
		if f := v.Queue.At(i).Flow; l == nil || f != last {
			l, last = s.link(v, &there, f), f
		}
		if l.Open {
			return Choice{From: i, Count: run(v.Queue, i, last), Links: Of(l.ID)}, 0, true
		}
	}
	return Choice{}, wake, false
}

// run counts the packets of a flow that follow each other from the one at i on.
func run(q Queue, i int, flow uint32) int {
	n := 1
	for n < flowRun && i+n < q.Len() && q.At(i+n).Flow == flow {
		n++
	}
	return n
}

// link returns the link of a flow; one must be there.
func (s *flow) link(v *View, there *byID, f uint32) *Link {
	set := &s.pins[f%flowSets]
	place := &set[0]
	for i := range set {
		at := &set[i]
		if at.used != 0 && at.flow == f {
			place = at
			break
		}
		if at.used < place.used {
			place = at
		}
	}
	if place.used == 0 || place.flow != f || there[place.link] == nil {
		*place = pin{flow: f, link: s.assign(v).ID}
	}
	place.used = max(v.Now, 1)
	return there[place.link]
}

// assign chooses the link of a new flow: not a silent one if it can be helped.
func (s *flow) assign(v *View) *Link {
	var best *Link
	responsive(v.Links, func(l *Link) {
		if best == nil || s.shares.due(l) < s.shares.due(best) {
			best = l
		}
	})
	s.shares.clock = s.shares.due(best)
	s.shares.charge(best, 1/rateWeight(best, v.Links))
	return best
}

func (*flow) Sent(core.Time, core.LinkID, int) {}
