package sched

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// latencyInterval is how long a choice of lowestLatency stands.
const latencyInterval = 300 * time.Millisecond

// lowestLatency sends everything on the link with the lowest one-way latency,
// decided anew every 0.3 s: the best of the schedulers of the prototype
// (docs/schedulers.md). It aggregates nothing.
type lowestLatency struct {
	link  core.LinkID
	until core.Time
}

func (*lowestLatency) Name() string { return "lowest-latency" }

func (s *lowestLatency) Pick(v *View) (Choice, core.Time, bool) {
	var best, current *Link
	candidates(v.Links, func(l *Link) {
		if l.ID == s.link && !l.Suspect {
			current = l
		}
		if best == nil || faster(l, best) {
			best = l
		}
	})
	if best == nil {
		return Choice{}, core.Never, false
	}
	if current == nil || v.Now >= s.until {
		current, s.link, s.until = best, best.ID, v.Now.Add(latencyInterval)
	}
	if !current.Open {
		return Choice{}, current.OpensAt, false
	}
	return Choice{Count: v.Queue.Len(), Links: Of(current.ID)}, 0, true
}

// faster orders links by suspicion, then by whether their latency is known,
// then by latency.
func faster(a, b *Link) bool {
	switch {
	case a.Suspect != b.Suspect:
		return b.Suspect
	case a.Known != b.Known:
		return a.Known
	}
	return a.Delay < b.Delay
}

func (*lowestLatency) Sent(core.Time, core.LinkID, int) {}
