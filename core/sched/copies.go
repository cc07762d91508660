package sched

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Copies of sparse packets, on links whose delay varies: the first to arrive
// wins, and the least of two delays varies less than either. That is what
// `redundant` does (Frömmgen et al., "ReMP TCP", ICC 2016), for the packets
// that somebody waits for and that cost next to nothing.
const (
	// copyJitter is the jitter of a link from which a copy is worth it.
	copyJitter = 4 * time.Millisecond
	// copyReach is by how many times that jitter the other link may be later: what
	// is believed of both is as uncertain.
	copyReach = 8
	// Copies take copyShare of the other link's rate at most, of which
	// copyBurst may pass at once, but copyLeast in any case.
	copyShare = 0.02
	copyBurst = 100 * time.Millisecond
	copyLeast = 3000 // bytes
)

// copies is what may be sent twice: a token bucket.
type copies struct {
	left   float64 // bytes
	filled core.Time
}

// allow takes n bytes of what a link of the given rate, in bytes/s, may carry
// in copies, if there are any left.
func (c *copies) allow(now core.Time, rate float64, n int) bool {
	rate *= copyShare
	most := max(rate*copyBurst.Seconds(), copyLeast)
	if c.filled == 0 {
		c.left = most
	} else {
		c.left = min(most, c.left+rate*now.Sub(c.filled).Seconds())
	}
	c.filled = now
	if c.left <= 0 {
		return false
	}
	c.left -= float64(n)
	return true
}

// second is the link that carries a copy of a sparse packet which a is about to
// carry: the one that would deliver it next, where jitter may make it the first.
// nil: none.
func (s *earliest) second(v *View, a arrival, p Packet) *Link {
	if !p.Sparse || !a.link.Known || a.link.Jitter < copyJitter {
		return nil
	}
	for _, o := range s.order {
		if o.link == a.link {
			continue
		}
		if !o.link.Known || o.after-a.after > copyReach*a.link.Jitter || !s.copies.allow(v.Now, o.link.Rate, p.Len) {
			return nil
		}
		return o.link
	}
	return nil
}
