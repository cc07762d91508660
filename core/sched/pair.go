package sched

import "github.com/multilink-vpn/multilink/core"

// segment is the unit of schedulers that were made to count segments.
const segment = core.FullPacket

// pair is the question of the schedulers that may wait for a better link: the
// fastest link by smoothed round-trip time, and the fastest of those that are
// open, which is nil when none is. A silent link is waited for only when all
// are silent.
type pair struct {
	fast, open *Link
	wake       core.Time // the earliest that a closed one opens
}

func fastAndOpen(v *View) pair {
	p := pair{wake: core.Never}
	responsive(v.Links, func(l *Link) {
		if p.fast == nil || l.SRTT < p.fast.SRTT {
			p.fast = l
		}
		switch {
		case !l.Open:
			p.wake = min(p.wake, l.OpensAt)
		case p.open == nil, l.SRTT < p.open.SRTT:
			p.open = l
		}
	})
	return p
}

// measured tells whether there is enough to compare the two links by.
func (p pair) measured() bool {
	return p.fast.Known && p.open.Known && p.fast.Rate > 0 && p.open.Rate > 0 && p.fast.SRTT > 0
}

// all is the choice to send what waits on the fast link.
func (p pair) all(v *View) Choice {
	return Choice{Count: v.Queue.Len(), Links: Of(p.fast.ID)}
}

// one is the choice to send the next packet on the open link, though it is not
// the fastest.
func (p pair) one() Choice { return Choice{Count: 1, Links: Of(p.open.ID)} }

// capacity is what a link holds without a queue, its bandwidth-delay product, in
// bytes and at least a segment. It stands for the congestion window of the
// schedulers made for TCP.
func capacity(l *Link) float64 { return max(segment, l.Rate*l.MinRTT.Seconds()) }
