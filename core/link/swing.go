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
// jitter holds packets back in bunches: delays jump and fall back all the time.
// A queue rises no faster than the pacer is ahead of the link, and a rate that
// changes moves delays one way within a round trip. So the largest jump, between
// a report and the next but one, is jitter as far as delays fall again. Only the
// window heeds it: to a scheduler such a link is late all the same.
type swing struct {
	value time.Duration // smoothed

	since      core.Time
	reports    int
	last, high time.Duration
	before     time.Duration // the report before the last
	jump, fall time.Duration // the largest
}

func (s *swing) add(now core.Time, delay time.Duration) {
	if s.reports == 0 {
		s.since, s.before, s.last, s.high, s.jump, s.fall = now, delay, delay, delay, 0, 0
	}
	s.reports++
	s.jump = max(s.jump, delay-min(s.last, s.before))
	s.before, s.last = s.last, delay
	s.fall, s.high = max(s.fall, s.high-delay), max(s.high, delay)
	if s.reports < swingReports || now.Sub(s.since) < swingSpan {
		return
	}
	s.reports = 0
	v := min(max(min(s.jump, s.fall)-swingNoise, 0), swingMost)
	if v > s.value {
		s.value += (v - s.value) / 2
	} else {
		s.value -= (s.value - v) / 64
	}
}
