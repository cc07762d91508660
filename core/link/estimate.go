// Package link is the state of one link of a session: on the sending side the
// numbers in flight, round-trip time, one-way delay, loss, the window and the
// pacer; on the receiving side what arrived and what is to be reported.
//
// The window follows a delay target rather than loss, so that the queues of
// the access network stay short and the delays of the links comparable. The
// rules are those of "design W" in docs/rate-control.md.
package link

import (
	"math"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// filterBuckets times filterSpan is the memory of a windowed minimum.
const (
	filterBuckets = 10
	filterSpan    = time.Second
)

// minFilter is a windowed minimum over the last ten seconds, in buckets of
// one, which forgets in steps of a bucket.
type minFilter struct {
	bucket [filterBuckets]time.Duration
	at     int64         // number of the newest bucket; 0: empty
	least  time.Duration // of all buckets
}

const none time.Duration = math.MaxInt64

func (f *minFilter) add(now core.Time, v time.Duration) {
	k := int64(now)/int64(filterSpan) + 1
	switch {
	case f.at == 0 || k-f.at >= filterBuckets:
		for i := range f.bucket {
			f.bucket[i] = none
		}
		f.at, f.least = k, none
	case f.at < k:
		for ; f.at < k; f.at++ {
			f.bucket[(f.at+1)%filterBuckets] = none
		}
		f.least = slices.Min(f.bucket[:])
	}
	b := &f.bucket[f.at%filterBuckets]
	*b = min(*b, v)
	f.least = min(f.least, v)
}

// get returns the minimum, or none when nothing was added yet.
func (f *minFilter) get() time.Duration {
	if f.at == 0 {
		return none
	}
	return f.least
}

// rttEstimator smooths round-trip times. The gain is 1/16, half of RFC 6298's:
// samples come several times per round trip.
type rttEstimator struct {
	smoothed, variance time.Duration
	floor              minFilter
}

func (e *rttEstimator) add(now core.Time, v time.Duration) {
	v = max(v, 10*time.Microsecond)
	e.floor.add(now, v)
	if e.smoothed == 0 {
		e.smoothed, e.variance = v, v/4
		return
	}
	e.variance += ((e.smoothed - v).Abs() - e.variance) / 16
	e.smoothed += (v - e.smoothed) / 16
}

// known reports whether there was a sample.
func (e *rttEstimator) known() bool { return e.smoothed > 0 }

// lossGain makes the loss average remember about a thousand datagrams.
const lossGain = 1.0 / 1024

// delayEstimator follows the one-way delay of one direction. Values include
// the unknown, constant difference of the two hosts' clocks.
type delayEstimator struct {
	smoothed time.Duration
	last     time.Duration
	before   [2]time.Duration // the two samples before the last
	jitter   time.Duration    // mean step between samples
	floor    minFilter
	// idle is the delay above the floor that packets see while the link has
	// next to nothing to carry: jitter that is not a queue. On a FIFO link
	// jitter under load only ratchets the delay up, so that it must be learned
	// idle to be told from queueing.
	idle      time.Duration
	swing     swing // jitter under load
	idleCount int
	seen      bool
}

// Limits of what may pass for idle jitter.
const (
	idleMax    = 60 * time.Millisecond
	idleNoise  = 500 * time.Microsecond
	idleSettle = 20 // samples before noise is called none
)

func (e *delayEstimator) add(now core.Time, newest, least time.Duration) {
	if !e.seen {
		e.smoothed, e.last, e.seen = newest, newest, true
		e.before = [2]time.Duration{newest, newest}
	}
	e.jitter += ((newest - e.last).Abs() - e.jitter) / 16
	e.smoothed += (newest - e.smoothed) / 16
	e.before = [2]time.Duration{e.last, e.before[0]}
	e.last = newest
	e.floor.add(now, least)
	e.swing.add(now, newest)
}

// addIdle takes the delay of a datagram that found the link with next to nothing to
// carry, without the time that the link took to carry it.
func (e *delayEstimator) addIdle(delay time.Duration) {
	e.idleCount++
	above := max(0, delay-e.floor.get())
	if above > e.idle {
		e.idle += (above - e.idle) / 4
	} else {
		e.idle -= (e.idle - above) / 40
	}
	if e.idle < idleNoise && e.idleCount > idleSettle {
		e.idle = 0
	}
	e.idle = min(e.idle, idleMax)
}

// recent is the median of the last three samples: it follows a change within
// two of them and takes no notice of one that stands alone.
func (e *delayEstimator) recent() time.Duration {
	a, b, c := e.last, e.before[0], e.before[1]
	return max(min(a, b), min(max(a, b), c))
}
