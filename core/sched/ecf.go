package sched

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// ecfBeta is how much longer the fast link may take once it is waited for,
// so that the decision does not flap; the paper's value.
const ecfBeta = 0.25

// ecf is the earliest completion first of Lim, Nahum, Towsley and Gibbens, "ECF:
// an MPTCP path scheduler to manage heterogeneous paths", CoNEXT 2017. While
// the fastest link is closed, all that waits is imagined on it: if that is done
// before a round trip of the slower link, and the slower link would take longer
// than waiting and sending on the fast one, the packet waits.
//
// The congestion windows of the paper are here the links' bandwidth-delay
// products, the send buffer is all that waits for the session's links.
type ecf struct {
	waiting bool
}

func (*ecf) Name() string { return "ecf" }

func (s *ecf) Pick(v *View) (Choice, core.Time, bool) {
	p := fastAndOpen(v)
	switch {
	case p.open == nil:
		return Choice{}, p.wake, false
	case p.open == p.fast:
		return p.all(v), 0, true
	case !p.measured():
		return p.one(), 0, true
	}
	if s.waits(p.fast, p.open, float64(v.Backlog)) {
		return Choice{}, p.wake, false
	}
	return p.one(), 0, true
}

// waits decides between waiting for the fast link and using the slow one, with
// backlog bytes to send.
func (s *ecf) waits(fast, slow *Link, backlog float64) bool {
	margin := max(fast.RTTVar, slow.RTTVar)
	// On the fast link: a round trip until it is free, then one per window.
	onFast := scale(fast.SRTT, 1+rounds(fast, backlog))
	limit := slow.SRTT + margin
	if s.waiting {
		limit = scale(limit, 1+ecfBeta)
	}
	if onFast >= limit {
		s.waiting = false
		return false
	}
	if scale(slow.SRTT, rounds(slow, backlog)) < 2*fast.SRTT+margin {
		return false
	}
	s.waiting = true
	return true
}

// rounds is how many windows of a link the backlog fills, at least one.
func rounds(l *Link, backlog float64) float64 {
	c := capacity(l)
	return max(backlog, c) / c
}

func scale(d time.Duration, by float64) time.Duration { return time.Duration(float64(d) * by) }

func (*ecf) Sent(core.Time, core.LinkID, int) {}
