package sched

import "github.com/multilink-vpn/multilink/core"

// blest is the blocking estimation of Ferlin, Alay, Mehani and Boreli, "BLEST:
// blocking estimation-based MPTCP scheduler for heterogeneous networks", IFIP
// Networking 2016. While the fastest link is closed, a slower one takes a packet
// only if what the fast link could send until that packet is through still
// finds room at the receiver; otherwise the packet waits for the fast link.
//
// The send window of the paper is here what the peer's resequencer may hold,
// the congestion window the link's bandwidth-delay product, without the
// paper's growth by a segment per round trip: the windows of this tunnel follow
// the rate. The paper stretches its estimate by a factor that grows with each
// round trip in which the send window blocked. Here nothing can block the
// sender: a resequencer that is full lets go early. So the factor is 1.
type blest struct{}

func (blest) Name() string { return "blest" }

func (blest) Pick(v *View) (Choice, core.Time, bool) {
	p := fastAndOpen(v)
	switch {
	case p.open == nil:
		return Choice{}, p.wake, false
	case p.open == p.fast:
		return p.all(v), 0, true
	case !p.measured():
		return p.one(), 0, true
	}
	room := float64(v.Budget - v.Queue.At(0).Len - p.open.InFlight)
	if couldSend(p.fast, p.open) > room {
		return Choice{}, p.wake, false
	}
	return p.one(), 0, true
}

// couldSend is what the fast link sends during a round trip of the slow one, in
// bytes.
func couldSend(fast, slow *Link) float64 {
	return capacity(fast) * slow.SRTT.Seconds() / fast.SRTT.Seconds()
}

func (blest) Sent(core.Time, core.LinkID, int) {}
