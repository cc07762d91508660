package link

import (
	"math"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Constants of the rules for shallow queues (docs/rate-control.md).
const (
	suspectLoss  = 0.04 // without delay
	startSettles = 3    // round trips after the start, whose overshoot is lost too
	trialLosses  = 24   // that tell a share; as many are awaited in a trial
	trialPace    = 0.75 // of the delivery rate, while it is tried whether that helps
	trialHelps   = 0.25 // at most that part of the loss is left
	trialLeast   = 100  // packets that a trial takes, as they tell what is lost at random
	trialEvery   = 30 * time.Second
	trialVain    = 3 // doublings of that, at most

	shallowLoss  = 0.02 // above what was lost in the trial, and may be chance: too fast
	shallowBatch = 50   // packets that tell the loss
	shallowRise  = 0.02 // of the pace per round trip
	shallowNear  = 0.03 // of the pace that last lost: there it rises
	shallowCreep = 0.002
	shallowCut   = 0.98 // of what the loss left
	shallowCuts  = 4    // in a row: it was something else

	flatGrowth = 1.25 // of the delivery rate, by a round of the start
	flatRounds = 2
)

// shallow recognises a queue that is shorter than the one the window aims at: a
// policer, or a buffer of a few packets. It drops what is too much before any
// delay shows, and without this the window would grow for ever. Loss alone does
// not tell it from a radio link; a trial does: what is lost because of a full
// queue is not lost at three quarters of the rate. From then on the pacer, and
// no window, bounds what is sent, and loss moves it.
type shallow struct {
	active bool
	pace   float64 // bytes/s
	top    float64 // the pace that last lost
	random float64 // share that is lost all the same

	trying      bool
	fresh       int     // rounds to come that tell of what was sent before the trial, or met its queue
	before      float64 // share lost when the trial began
	acked, lost int     // bytes since the last judgement
	since       core.Time
	next        core.Time
	vain        int // trials in a row
	cuts        int // in a row

	flat int // rounds of the start that lost and brought no more
	peak float64
}

// flatStart tells at the end of a round of the start whether the link is full
// though no delay shows it: a good part is lost and no more is delivered.
func (w *window) flatStart() bool {
	h := &w.shallow
	lossy := float64(w.round.lost) > startLoss*float64(w.round.acked+w.round.lost)
	if !lossy || !w.busy || w.peak > flatGrowth*h.peak {
		h.flat, h.peak = 0, max(h.peak, w.peak)
		return false
	}
	h.flat++
	return h.flat >= flatRounds
}

// suspect gathers loss without delay, and begins a trial when it is much.
func (w *window) suspect(now core.Time) {
	h := &w.shallow
	if !w.held && !w.limited {
		h.acked, h.lost = 0, 0
		return
	}
	if h.acked == 0 {
		h.since = w.round.start
	}
	h.acked += w.round.acked
	h.lost += w.round.lost
	share := float64(h.lost) / float64(max(h.acked+h.lost, 1))
	switch {
	case float64(h.lost) < suspectLoss*float64(h.acked):
		if h.acked > trialLosses*segment/suspectLoss {
			h.acked, h.lost = 0, 0
		}
	case h.lost >= trialLosses*segment:
		if now >= h.next {
			h.trying, h.fresh, h.before = true, 2, share
			h.pace = float64(h.acked) / now.Sub(h.since).Seconds()
		}
		h.acked, h.lost = 0, 0
	}
}

// tried judges a trial when as much was sent as would have lost enough.
func (w *window) tried(now core.Time, s *Sender) {
	h := &w.shallow
	if h.fresh > 0 {
		h.fresh--
		return
	}
	h.acked += w.round.acked
	h.lost += w.round.lost
	total := float64(h.acked + h.lost)
	if total*h.before < trialLosses*segment || total < trialLeast*segment {
		return
	}
	share := float64(h.lost) / total
	h.trying, h.acked, h.lost = false, 0, 0
	if share > trialHelps*h.before {
		w.inVain(now)
		return
	}
	h.active, h.random, h.cuts = true, share, 0
	h.top, w.rate = h.pace, h.pace
	w.fit(s)
}

func (w *window) inVain(now core.Time) {
	h := &w.shallow
	h.next = now.Add(trialEvery << min(h.vain, trialVain))
	h.vain++
}

// steer moves the pace of a link with a shallow queue by what is lost.
func (w *window) steer(now core.Time, s *Sender) {
	h := &w.shallow
	// What swings here is the short queue itself: it is no jitter.
	if w.round.least-s.emptyDelay(s.delay.idle) > w.target(s)*5/4 {
		h.active, h.acked, h.lost = false, 0, 0 // there is room for a queue now
		return
	}
	if w.rest > 0 { // what this round tells of was sent before the cut
		w.rest--
		return
	}
	h.acked += w.round.acked
	h.lost += w.round.lost
	total := h.acked + h.lost
	if total >= shallowBatch*segment {
		share := float64(h.lost)/float64(total) - h.random
		// What is lost at random varies from batch to batch: two standard deviations.
		chance := 2 * math.Sqrt(h.random*segment/float64(total))
		h.acked, h.lost = 0, 0
		if share > shallowLoss+chance {
			w.slower(now, s, share)
			return
		}
		h.cuts = 0
	}
	switch near := h.pace / h.top; {
	case h.cuts > 0:
		// Whether that helped the next batch tells; on a slow link it takes many rounds.
	case !w.held && !w.limited, h.pace > flatGrowth*w.rate:
		// The pacer is not what bounds what is delivered.
	case near > 1-shallowNear && near < 1+shallowNear:
		h.pace *= 1 + shallowCreep
	default: // no more on a slow link until its loss is known
		h.pace *= 1 + shallowRise*min(1, 2*float64(w.round.acked)/(shallowBatch*segment))
	}
	w.fit(s)
}

// slower keeps to what was not lost. If that does not help, the queue is not what
// lost it.
func (w *window) slower(now core.Time, s *Sender, share float64) {
	h := &w.shallow
	if h.cuts++; h.cuts >= shallowCuts {
		h.active = false // another trial decides
		return
	}
	h.top = h.pace
	h.pace = max(paceFloor, h.pace*shallowCut*(1-share))
	w.rest = 1
	w.fit(s)
}

// fit sets the window so that it does not get in the pacer's way: there is room for
// what has arrived but is told of late, as the way back has a queue.
func (w *window) fit(s *Sender) {
	queue := max(0, w.round.most-s.delay.floor.get())
	late := max(0, s.rtt.smoothed-s.rtt.floor.get()-queue)
	w.size = max(minWindow, w.fill(w.shallow.pace, s, targetFloor+late))
}

// shallowPace is the pacer's rate in a trial and on a shallow queue.
func (w *window) shallowPace() (float64, bool) {
	switch {
	case w.shallow.trying:
		return trialPace * w.shallow.pace, true
	case w.shallow.active:
		return w.shallow.pace, true
	}
	return 0, false
}
