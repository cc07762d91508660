package sched

import "github.com/multilink-vpn/multilink/core"

// redundant sends a copy of every packet on every link; the first to arrive
// wins (Frömmgen et al., "ReMP TCP: low latency multipath TCP", ICC 2016). It
// costs the sum of the links to get the best of them at every moment.
type redundant struct{}

func (redundant) Name() string { return "redundant" }

// Pick sends as soon as one link is open; a link that is not open misses
// nothing but its copies, so that a slow one does not hold back the others.
func (redundant) Pick(v *View) (Choice, core.Time, bool) {
	c := Choice{Count: 1}
	wake := core.Never
	candidates(v.Links, func(l *Link) {
		if l.Open {
			c.Links |= Of(l.ID)
		} else {
			wake = min(wake, l.OpensAt)
		}
	})
	return c, wake, c.Links != 0
}

func (redundant) Sent(core.Time, core.LinkID, int) {}
