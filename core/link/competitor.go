package link

import (
	"math"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Constants of the competitor rules (docs/rate-control.md). cubicC, cubicCut and
// renoGrow are those of RFC 9438, sections 4.2, 4.6 and 4.3.
const (
	probeCuts   = 4                    // without growth in between, that ask for a probe
	probeRounds = 20                   // apart at most
	probeFall   = 0.75                 // of the window, by those cuts
	probeFound  = 0.5                  // of the queue stays: somebody else makes it
	emptyQueue  = 4 * time.Millisecond // nobody keeps it full
	probeGone   = 0.4                  // of the queue stays while competing: it is mostly this link's

	competitorGrow = 0.06 // per round trip, before the first loss
	cubicC         = 0.4  // segments per second cubed
	cubicCut       = 0.7
	renoGrow       = 3 * (1 - cubicCut) / (1 + cubicCut) // segments per round trip

	// bestSpan is how long the largest window is remembered.
	bestSpan = 10 * time.Second
)

// competitor recognises cross traffic that keeps the bottleneck's queue full
// whatever this link does. Cuts that do not help raise the suspicion; the proof is
// a drain, which empties the queue of a link that is used alone. From then on
// the window moves as CUBIC's (RFC 9438), so that both get about the same, until
// a drain leaves no queue.
type competitor struct {
	active bool
	base   time.Duration // the base delay, frozen

	cuts   int // in a row, without growth in between
	cutAt  core.Time
	before int // the window at the first of them
	best   int // the largest window of late
	bestAt core.Time

	probing bool
	queue   time.Duration // when the probe began

	high time.Duration // the longest queue while competing
	top  float64       // the window at the last loss, bytes; 0: none was lost yet
	reno float64       // the window of the Reno-friendly region
	age  time.Duration // of limited rounds since that loss
}

// cut is asked before every cut and tells whether to look for a competitor
// instead.
func (c *competitor) cut(now core.Time, s *Sender) bool {
	w := &s.window
	if now.Sub(c.cutAt) > probeRounds*s.rtt.smoothed {
		c.cuts = 0
	}
	c.cutAt = now
	if c.cuts == 0 {
		c.before = w.size
	}
	c.cuts++
	if now.Sub(c.bestAt) > bestSpan || w.size > c.best {
		c.best, c.bestAt = w.size, now
	}
	return c.cuts >= probeCuts && float64(w.size) < probeFall*float64(c.before)
}

// probe drains the link to see whether the queue is its own. The round that
// begins now ends with the first packet that leaves afterwards: the next one
// tells what is left of the queue.
func (w *window) probe(now core.Time, s *Sender) {
	queue := max(w.recentLeast()-s.baseDelay(), 0)
	w.rival.probing, w.rival.queue = true, queue
	empty := s.rtt.floor.get()
	w.drain(now, int(float64(min(w.size, s.inFlight))*float64(empty)/float64(empty+queue)), empty+queue)
	w.newRound(now, s)
}

// probed judges a probe by the round after the drain.
func (w *window) probed(s *Sender) {
	c := &w.rival
	c.probing, c.cuts = false, 0
	low := w.round.least - s.baseDelay()
	left := float64(low) / float64(max(c.queue, 1))
	switch {
	case c.active && left < probeGone:
		c.active = false
	case !c.active && left > probeFound && low > w.target(s)/2+2*w.noise(s):
		c.base = s.baseDelay()
		c.active = true
		c.high, c.top = 0, 0
		w.size = max(w.size, c.best)
		w.rest = 0
	}
}

// compete moves the window as CUBIC does, at the end of a round trip of length
// dur.
func (w *window) compete(now core.Time, s *Sender, dur time.Duration) {
	c := &w.rival
	queue := w.round.most - c.base
	c.high = max(c.high, queue)
	switch {
	case w.rest > 0:
		w.rest--
	// Without a queue, or below the window, it is no congestion of ours.
	case w.round.lost > 0 && queue > c.high/2 && w.limited:
		c.lost(float64(w.size))
		w.size = max(minWindow, int(cubicCut*float64(w.size)))
		w.rest = 1
	case w.limited:
		w.size = c.grown(w.size, dur)
	}
	if w.limited && now.Sub(w.lastLow) > drainEvery {
		w.probe(now, s)
	}
}

// lost notes a loss at a window. Fast convergence (section 4.7) is left out: a
// paced flow meets more than its share of a drop-tail queue's losses.
func (c *competitor) lost(size float64) {
	c.top, c.reno, c.age = size, cubicCut*size, 0
}

// grown is the window after another round trip of length dur.
func (c *competitor) grown(size int, dur time.Duration) int {
	if c.top == 0 {
		return size + max(segment, int(competitorGrow*float64(size)))
	}
	c.age += dur
	c.reno += renoGrow * segment
	k := math.Cbrt(c.top / segment * (1 - cubicCut) / cubicC)
	cubic := c.top + segment*cubicC*math.Pow((c.age+dur).Seconds()-k, 3)
	return max(size, int(min(max(cubic, c.reno), 1.5*float64(size))))
}
