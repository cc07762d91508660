package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// competitor recognises loss-based cross traffic that keeps the bottleneck's
// queue full whatever this link does: three cuts that do not lower the queue.
// From then on the window grows until loss, as the others do, until the queue
// is gone.
type competitor struct {
	active  bool
	base    time.Duration // the base delay, frozen
	useless int
	queue   time.Duration // seen at the last cut
	cutAt   core.Time
	best    int // the largest window of late
	bestAt  core.Time
}

// bestSpan is how long the largest window is remembered.
const bestSpan = 5 * time.Second

// cut is asked before every cut and tells whether to stay up instead.
func (c *competitor) cut(now core.Time, s *Sender, queue time.Duration) bool {
	w := &s.window
	if queue < max(w.target(s)*5/2, competitorQueue) {
		c.queue, c.useless = 0, 0
		return false
	}
	recent := now.Sub(c.cutAt) < 10*s.rtt.smoothed
	c.cutAt = now
	if recent && c.queue > 0 && queue > c.queue*2/5 {
		c.useless++
	} else {
		c.useless = 0
		if now.Sub(c.bestAt) > bestSpan || w.size > c.best {
			c.best, c.bestAt = w.size, now
		}
	}
	c.queue = queue
	if c.useless < competitorCuts {
		return false
	}
	c.base = s.baseDelay()
	c.active, c.useless = true, 0
	w.size = max(w.size, c.best)
	w.rest = 0
	return true
}

func (c *competitor) end() {
	c.active, c.queue, c.useless = false, 0, 0
}

// compete moves the window as loss-based traffic does.
func (w *window) compete() {
	switch {
	case w.round.lost > 0:
		w.size = max(minWindow, int(competitorLoss*float64(w.size)))
	case w.limited:
		w.size += max(segment, int(competitorGrow*float64(w.size)))
	}
}
