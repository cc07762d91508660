package sched

import "github.com/multilink-vpn/multilink/core"

// redundant sends a copy of every packet on every link; the first to arrive
// wins (Frömmgen et al., "ReMP TCP: low latency multipath TCP", ICC 2016). It
// costs the sum of the links to get the best of them at every moment.
type redundant struct{}

func (redundant) Name() string { return "redundant" }

// Pick sends as soon as one link is open. A link whose window is full misses
// its copies, so that a slow one neither holds back the others nor gets a queue
// in which all its copies are late; one that only its pacer holds back for a
// moment misses none.
func (redundant) Pick(v *View) (Choice, core.Time, bool) {
	var links Set
	open := false
	wake := core.Never
	candidates(v.Links, func(l *Link) {
		open = open || l.Open
		wake = min(wake, l.OpensAt)
		if l.Open || l.OpensAt != core.Never {
			links |= Of(l.ID)
		}
	})
	if !open {
		return Choice{}, wake, false
	}
	return Choice{Count: 1, Links: links}, 0, true
}

func (redundant) Sent(core.Time, core.LinkID, int) {}
