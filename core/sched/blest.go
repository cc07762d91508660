package sched

import "github.com/multilink-vpn/multilink/core"

// Constants of blest: how much the estimate of what the fast link could send is
// stretched. It starts at 1.2 as in the paper; steps and bounds are those of
// the authors' implementation.
const (
	blestStart   = 1.2
	blestLeast   = 1.0
	blestMost    = 1.3
	blestBlocked = 0.04 // more after a round trip with blocking
	blestCalm    = 0.01 // less after one without
)

// blest is the blocking estimation of Ferlin, Alay, Mehani and Boreli, "BLEST:
// blocking estimation-based MPTCP scheduler for heterogeneous networks", IFIP
// Networking 2016. While the fastest link is closed, a slower one takes a packet
// only if what the fast link could send until that packet is through still
// finds room at the receiver; otherwise the packet waits for the fast link.
//
// The send window of the paper is here what the peer's resequencer may hold,
// the congestion window the link's bandwidth-delay product, without the
// paper's growth by a segment per round trip: the windows of this tunnel follow
// the rate. While the peer reports no blocking, lambda rests at its least and
// the rule is the plain estimate.
type blest struct {
	lambda  float64
	blocked uint64    // View.Blocked when lambda was last moved
	moves   core.Time // when it moves again
}

func newBlest() *blest { return &blest{lambda: blestStart} }

func (*blest) Name() string { return "blest" }

func (s *blest) Pick(v *View) (Choice, core.Time, bool) {
	p := fastAndOpen(v)
	switch {
	case p.open == nil:
		return Choice{}, p.wake, false
	case p.open == p.fast:
		return p.all(v), 0, true
	case !p.measured():
		return p.one(), 0, true
	}
	s.adapt(v, p.fast)
	room := float64(v.Budget - v.Queue.At(0).Len - p.open.InFlight)
	if s.lambda*couldSend(p.fast, p.open) > room {
		return Choice{}, p.wake, false
	}
	return p.one(), 0, true
}

// couldSend is what the fast link sends during a round trip of the slow one, in
// bytes.
func couldSend(fast, slow *Link) float64 {
	return capacity(fast) * slow.SRTT.Seconds() / fast.SRTT.Seconds()
}

// adapt moves lambda once per round trip of the fast link.
func (s *blest) adapt(v *View, fast *Link) {
	if v.Now < s.moves {
		return
	}
	if v.Blocked > s.blocked {
		s.lambda = min(blestMost, s.lambda+blestBlocked)
	} else {
		s.lambda = max(blestLeast, s.lambda-blestCalm)
	}
	s.blocked, s.moves = v.Blocked, v.Now.Add(fast.SRTT)
}

func (*blest) Sent(core.Time, core.LinkID, int) {}
