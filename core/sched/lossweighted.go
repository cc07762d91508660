package sched

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

const (
	// qualityInterval is how often the prototype's receiver reported.
	qualityInterval = 500 * time.Millisecond
	// qualityFloor is the quality of a link that delivers nothing: enough to
	// notice when it does again.
	qualityFloor = 0.01
)

// lossWeighted shares the traffic among the links in proportion to their
// quality, the part of what they were given that arrived in the last 0.5 s: the
// first scheduler of the prototype (docs/schedulers.md). It knows nothing of
// rates: where the window closes a link that has had less than its share, the
// others take the rest, and with rate control off the slower links overflow
// until their losses say so.
type lossWeighted struct {
	shares  shares
	until   core.Time // the end of the interval
	tally   [core.MaxLinks]tally
	missing [core.MaxLinks]float64 // 1 - quality
}

func (*lossWeighted) Name() string { return "loss-weighted" }

func (s *lossWeighted) Pick(v *View) (Choice, core.Time, bool) {
	if v.Now >= s.until {
		s.until = v.Now.Add(qualityInterval)
		s.assess(v.Links)
	}
	return s.shares.pick(v, func(l *Link) float64 {
		return max(qualityFloor, 1-s.missing[l.ID])
	})
}

// assess takes the quality of each link from the interval that ended. A link
// of which nothing was heard keeps what it had.
func (s *lossWeighted) assess(links []Link) {
	for i := range links {
		l := &links[i]
		t := &s.tally[l.ID]
		if acked, lost := t.since(l); acked+lost > 0 {
			s.missing[l.ID] = float64(lost) / float64(acked+lost)
		}
		t.restart(l)
	}
}

func (s *lossWeighted) Sent(_ core.Time, id core.LinkID, bytes int) { s.shares.sent(id, bytes) }
