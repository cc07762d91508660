package link

import (
	"math"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Constants of the window, in the order of the rules that use them
// (docs/rate-control.md).
const (
	startWindow = 32 * segment
	minWindow   = 3 * segment

	targetFloor = 8 * time.Millisecond // standing queue the window aims at
	minRound    = 8 * time.Millisecond

	startLoss    = 0.05         // loss share that ends the start when the delay rises too
	startSample  = 20 * segment // delivered in a round, for the share to mean something
	roundLoss    = 0.02         // loss share of a round that cuts when the delay is high
	lossCut      = 0.7
	maxCut       = 0.75
	growStep     = 0.5  // of what the queue is below the target, in round trips
	growAfter    = 3    // rounds of a queue that stays short, from which the step grows
	growFaster   = 1.5  // by so much with each round
	growRounds   = 12   // and for so many
	maxGrowth    = 0.25 // per round
	restRounds   = 2    // after a cut
	recentWindow = 20 * time.Millisecond

	drainEvery = 5 * time.Second
	drainShare = 0.85

	leastRate = 1000 // bytes/s, by which a time is worked out where less is known
)

// sample is what one report said.
type sample struct {
	acked, lost int // bytes
	valid       bool
	rtt         time.Duration
	at          core.Time     // of the newest arrival, by the peer's clock
	delay       time.Duration // one-way, of the newest arrival
	least       time.Duration // the least since the last report
}

// window bounds the bytes in flight so that the link stays full while the
// queue in front of its bottleneck stays near a target delay.
type window struct {
	off      bool
	size     int // bytes
	starting bool
	limited  bool    // the window held back a packet in this round
	held     bool    // so did the window or the pacer
	busy     bool    // the same of the last round
	peak     float64 // fastest delivery seen while starting, bytes/s
	rate     float64 // delivery rate, bytes/s

	round   round
	quiet   int // rounds in a row with a short queue, while limited
	rest    int // rounds to wait after a cut
	lastCut core.Time
	lastLow core.Time // when the queue was last seen near empty
	recent  [4]time.Duration
	reports int

	drainUntil core.Time
	drainSize  int

	fall fall

	calm      bool
	calmUntil core.Time
	calmFloor int

	history []point
	rival   competitor
	shallow shallow
	unused  unused
	deliver int
	arrived core.Time // the newest arrival, by the peer's clock
}

// round gathers the reports of one round trip.
type round struct {
	end         uint64 // it ends when this number is acknowledged
	start       core.Time
	arrived     core.Time // the newest arrival at its start
	acked, lost int
	samples     int
	least, most time.Duration
	rttSum      time.Duration
}

// point is how much had been delivered when a datagram arrived.
type point struct {
	at        core.Time // by the peer's clock
	delivered int
}

func (w *window) init() {
	w.size, w.starting = startWindow, true
	w.round.least, w.round.most = none, -none
}

func (w *window) effective() int {
	if w.drainUntil > 0 {
		return min(w.size, w.drainSize)
	}
	return w.size
}

// target is the standing queue aimed at: a full packet on the link and another
// that waits half of the time, and not less than the idle jitter, which on a busy
// FIFO link is exceeded all the time.
func (w *window) target(s *Sender) time.Duration {
	if w.calm {
		return max(calmTarget, w.packets(1), s.delay.idle)
	}
	return max(targetFloor, w.packets(1.5), w.noise(s))
}

// packets is how long the link takes for n full packets.
func (w *window) packets(n float64) time.Duration {
	return time.Duration(n * segment / max(w.rate, leastRate) * 1e9)
}

// noise is the delay above the least that is jitter and no queue.
func (w *window) noise(s *Sender) time.Duration {
	if w.calm {
		return s.delay.idle
	}
	return max(s.delay.idle, s.delay.swing.value)
}

// baseDelay is the one-way delay above which a link has a queue.
func (s *Sender) baseDelay() time.Duration { return s.emptyDelay(s.window.noise(s)) }

// emptyDelay is the one-way delay of an empty link of the given jitter.
func (s *Sender) emptyDelay(jitter time.Duration) time.Duration {
	if s.window.rival.active {
		return s.window.rival.base
	}
	return s.delay.floor.get() + jitter
}

// update takes a report. The order of its parts is that of the rules.
func (w *window) update(now core.Time, s *Sender, r *sample) {
	w.deliver += r.acked
	w.round.acked += r.acked
	w.round.lost += r.lost
	if !r.valid {
		return
	}
	if w.rate == 0 {
		w.rate = float64(w.size) / s.rtt.smoothed.Seconds() / 4
	}
	w.recent[w.reports%len(w.recent)] = r.least
	w.reports++
	w.round.samples++
	w.round.least = min(w.round.least, r.least)
	w.round.most = max(w.round.most, r.delay)
	w.calm = w.calm && now < w.calmUntil
	w.round.rttSum += r.rtt
	w.arrived = r.at
	w.note(s)

	target := w.target(s)
	queue := w.recentLeast() - s.baseDelay()
	if w.calm {
		queue = r.delay - s.baseDelay()
	}
	if r.least-s.baseDelay() < target/4 {
		w.lastLow, w.rival.cuts = now, 0
	}
	switch {
	case w.starting:
		w.start(now, s, r, queue, target)
	case w.rival.active:
		w.rival.active = r.least-w.rival.base > emptyQueue
	case w.rival.probing:
	case queue > fallQueue(target) && now.Sub(w.lastCut) > s.rtt.smoothed:
		w.emergency(now, s, queue, target)
	}
	if s.largest >= w.round.end {
		w.endRound(now, s)
	}
}

// note keeps the history from which the recent delivery rate is taken.
func (w *window) note(s *Sender) {
	w.history = append(w.history, point{w.arrived, w.deliver})
	span := max(recentWindow, s.rtt.smoothed/4)
	cut := 0
	for cut+2 < len(w.history) && w.history[cut+1].at < w.arrived.Add(-span) {
		cut++
	}
	if cut > 0 {
		w.history = w.history[:copy(w.history, w.history[cut:])]
	}
}

func (w *window) recentRate() float64 {
	if len(w.history) < 2 {
		return w.rate
	}
	a, b := w.history[0], w.history[len(w.history)-1]
	if b.at <= a.at {
		return w.rate
	}
	return float64(b.delivered-a.delivered) / b.at.Sub(a.at).Seconds()
}

func (w *window) recentLeast() time.Duration {
	m := none
	for i := range min(w.reports, len(w.recent)) {
		m = min(m, w.recent[i])
	}
	return m
}

// start doubles the window each round trip until a queue or loss shows.
func (w *window) start(now core.Time, s *Sender, r *sample, queue, target time.Duration) {
	// A window that is not half used was not what held the link back (RFC 7661).
	if (w.busy || w.held) && 2*(s.inFlight+r.acked+r.lost) > w.size {
		w.size += r.acked
	}
	w.peak = max(w.peak, w.recentRate())
	total := w.round.acked + w.round.lost
	lossy := float64(w.round.lost) > startLoss*float64(total) && w.round.acked > startSample
	if !(w.reports > len(w.recent) && queue > target || lossy && queue > target/2) {
		return
	}
	w.endStart(now, s, target)
}

// endStart sets the window by what was learned while starting.
func (w *window) endStart(now core.Time, s *Sender, target time.Duration) {
	// What was delivered fastest is taken for the rate: an average over the
	// last moments still holds the gaps between the bursts of smaller windows.
	w.starting = false
	w.size = max(minWindow, w.fill(w.peak, s, target))
	w.rate = w.peak
	// What passed for jitter so far has in it the time of a full packet on the link.
	s.delay.idle = max(0, s.delay.idle-w.packets(1))
	w.lastCut = now
	w.newRound(now, s)
}

// fill is the window that keeps a link of the given rate full with the target
// queue.
func (w *window) fill(rate float64, s *Sender, target time.Duration) int {
	return int(rate * (s.rtt.floor.get() + w.noise(s) + target).Seconds())
}

func (w *window) newRound(now core.Time, s *Sender) {
	w.round = round{end: s.next, start: now, arrived: w.arrived, least: none, most: -none}
	w.limited, w.busy = false, w.limited || w.held
	w.held = false
}

// endRound closes a round trip: it takes the delivery rate and moves the
// window towards the target queue.
func (w *window) endRound(now core.Time, s *Sender) {
	dur := now.Sub(w.round.start)
	if dur < minRound {
		w.round.end = s.next
		return
	}
	defer w.newRound(now, s)
	if w.round.samples == 0 {
		return
	}
	rate := float64(w.round.acked) / w.delivery(dur).Seconds()
	w.takeRate(rate)
	switch {
	case w.starting:
		if !w.unusedRound(now, s, rate) && w.flatStart() {
			w.endStart(now, s, w.target(s))
		}
	case w.drainUntil > 0:
		if now >= w.drainUntil {
			w.drainUntil = 0
		}
	case w.shallow.trying:
		w.tried(now, s)
	case w.shallow.active:
		w.steer(now, s)
	case w.rival.probing:
		w.probed(s)
	case w.rival.active:
		w.compete(now, s, dur)
	case w.unusedRound(now, s, rate):
	case w.rest > 0:
		w.rest--
	default:
		w.adjust(now, s)
	}
}

// delivery is how long the arrivals of a round took that lasted dur here. The
// peer's times are the link's. Those of reports are not: a host that is busy
// takes many at once, so that what one round trip delivered counts as the next's.
// A short burst says less of the link than the time it took in all.
func (w *window) delivery(dur time.Duration) time.Duration {
	if span := w.arrived.Sub(w.round.arrived); span >= minRound/2 {
		return span
	}
	return dur
}

// takeRate believes a round that was limited by the window; another one only
// shows that the link is at least that fast.
func (w *window) takeRate(rate float64) {
	switch {
	case w.shallow.trying: // slow on purpose
	case w.limited && w.starting:
		w.rate = max(w.rate, rate)
	case w.limited, w.held && (w.shallow.active || w.losing()):
		w.rate += (rate - w.rate) / 4
	case rate > w.rate:
		w.rate += (rate - w.rate) / 2
	}
}

// losing tells whether a good part of the round was lost: what came is what the
// link can do, though its window has room.
func (w *window) losing() bool {
	return float64(w.round.lost) > suspectLoss*float64(w.round.acked+w.round.lost)
}

func (w *window) adjust(now core.Time, s *Sender) {
	target := w.target(s)
	queue := w.round.least - s.baseDelay()
	if w.calm {
		queue = w.round.most - s.baseDelay()
	}
	rtt := w.round.rttSum / time.Duration(w.round.samples)
	lossShare := float64(w.round.lost) / float64(w.round.lost+w.round.acked+1)
	if queue < 3*target && now.Sub(w.lastCut) > startSettles*rtt {
		w.suspect(now)
	}
	switch {
	case lossShare > roundLoss && queue > 3*target:
		w.size = max(w.floor(), int(lossCut*float64(w.size)))
		w.quiet = 0
	case queue > target+target/4:
		if w.rival.cut(now, s) {
			w.probe(now, s)
			return
		}
		share := max(maxCut, 1-float64(queue-target)/float64(rtt))
		w.size = max(w.floor(), int(share*float64(w.size)))
		w.rest = restRounds
		w.quiet = 0
	case queue < target*4/5 && w.limited:
		w.grow(queue, target, rtt)
	default:
		w.quiet = 0
	}
	if w.limited && now.Sub(w.lastLow) > drainEvery {
		w.drain(now, int(drainShare*float64(w.size)*float64(rtt-max(queue, 0))/float64(rtt)), rtt)
	}
}

// grow opens the window, faster the longer the queue has stayed short.
func (w *window) grow(queue, target, rtt time.Duration) {
	w.quiet++
	w.rival.cuts = 0
	step := growStep * float64(target-queue) / float64(rtt)
	if queue < target*2/5 && w.quiet > growAfter {
		step *= math.Pow(growFaster, float64(min(w.quiet-growAfter, growRounds)))
	}
	w.size = int(float64(w.size) * (1 + min(step, maxGrowth)))
}

// drain keeps to a smaller window for a round trip, so that the queue empties and
// the minimum of the one-way delay is seen again: a standing queue leaks into any
// windowed minimum.
func (w *window) drain(now core.Time, size int, rtt time.Duration) {
	w.lastLow = now
	w.drainSize = max(minWindow, size)
	w.drainUntil = now.Add(rtt)
}
