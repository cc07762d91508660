package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Limits of swing.
const (
	swingSpan    = 50 * time.Millisecond // looked at in one piece
	swingReports = 6                     // in it, at least
	swingNoise   = 4 * time.Millisecond  // what bursts of our own make
	swingMost    = 25 * time.Millisecond // the rate of a cellular link swings, too
)

// swing measures jitter on a link that carries data. On a link that keeps order
// jitter holds packets back in bunches, so that delays go up and down by it all
// the time, while a queue, or a rate that changes, moves them one way within a
// round trip: what they go up and down alike is no queue. Only the window heeds it: to a
// scheduler such a link is late all the same.
type swing struct {
	value time.Duration // smoothed

	since     core.Time
	reports   int
	low, high time.Duration
	up, down  time.Duration // the largest rise and fall
}

func (s *swing) add(now core.Time, delay time.Duration) {
	if s.reports == 0 {
		s.since, s.low, s.high, s.up, s.down = now, delay, delay, 0, 0
	}
	s.reports++
	s.up, s.low = max(s.up, delay-s.low), min(s.low, delay)
	s.down, s.high = max(s.down, s.high-delay), max(s.high, delay)
	if s.reports < swingReports || now.Sub(s.since) < swingSpan {
		return
	}
	s.reports = 0
	v := min(max(min(s.up, s.down)-swingNoise, 0), swingMost)
	if v > s.value {
		s.value += (v - s.value) / 2
	} else {
		s.value -= (s.value - v) / 64
	}
}
