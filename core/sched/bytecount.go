package sched

import (
	"math/rand/v2"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Constants of byteCount. The interval is the prototype's.
const (
	countInterval = 300 * time.Millisecond
	// countGain is the weight of an interval in the average: four intervals
	// take in about two thirds of a change.
	countGain = 0.25
	// countExcess is the load of a link, as a multiple of what it is known to
	// carry, up to which the excess is spread in proportion.
	countExcess = 2
)

// byteCount fills the links one after another: the one that carries most up to
// what it is known to carry in an interval of 0.3 s, then the next. What is more
// than all carry is spread in proportion until each has twice what it carries,
// and then at random, so that a link that could carry more shows it. The second
// scheduler of the prototype (docs/schedulers.md).
//
// What a link carries is an average over intervals: it follows the bytes that
// arrived when they are more, or when something was lost. Fewer arrivals
// without a loss say only that less was sent.
type byteCount struct {
	start   core.Time // of the interval; 0: none yet
	tally   [core.MaxLinks]tally
	carries [core.MaxLinks]float64 // bytes in an interval
	sent    [core.MaxLinks]float64 // bytes in this interval
	random  *rand.Rand
}

// newByteCount makes the scheduler. Its randomness needs no secret, so that the
// seed is fixed and a simulation repeats itself.
func newByteCount() *byteCount {
	return &byteCount{random: rand.New(rand.NewPCG(0x62797465, 0x636f756e74))}
}

func (*byteCount) Name() string { return "byte-count" }

func (s *byteCount) Pick(v *View) (Choice, core.Time, bool) {
	s.count(v)
	var scratch [core.MaxLinks]*Link
	open := scratch[:0]
	wake := core.Never
	candidates(v.Links, func(l *Link) {
		if l.Open {
			open = append(open, l)
		} else {
			wake = min(wake, l.OpensAt)
		}
	})
	if len(open) == 0 {
		return Choice{}, wake, false
	}
	return Choice{Count: 1, Links: Of(s.fill(open).ID)}, 0, true
}

// fill chooses among the open links.
func (s *byteCount) fill(open []*Link) *Link {
	var next, least *Link
	for _, l := range open {
		if s.load(l) < 1 && (next == nil || s.carries[l.ID] > s.carries[next.ID]) {
			next = l
		}
		if s.load(l) < countExcess && (least == nil || s.load(l) < s.load(least)) {
			least = l
		}
	}
	switch {
	case next != nil:
		return next
	case least != nil:
		return least
	}
	return open[s.random.IntN(len(open))]
}

// load is what a link was given in this interval, as a multiple of what it is
// known to carry.
func (s *byteCount) load(l *Link) float64 {
	if s.carries[l.ID] == 0 {
		return countExcess
	}
	return s.sent[l.ID] / s.carries[l.ID]
}

// count ends an interval when its time is over. One during which nobody asked
// for long says nothing about what the links carry.
func (s *byteCount) count(v *View) {
	elapsed := v.Now.Sub(s.start)
	if s.start != 0 && elapsed < countInterval {
		return
	}
	timely := s.start != 0 && elapsed < 2*countInterval
	for i := range v.Links {
		l := &v.Links[i]
		t := &s.tally[l.ID]
		if timely {
			s.learn(l, float64(countInterval)/float64(elapsed))
		}
		t.restart(l)
	}
	clear(s.sent[:])
	s.start = v.Now
}

// learn takes in what arrived over a link, scaled to the length of an interval.
func (s *byteCount) learn(l *Link, scale float64) {
	acked, lost := s.tally[l.ID].since(l)
	arrived := float64(acked) * scale
	c := &s.carries[l.ID]
	if arrived > *c || lost > 0 {
		*c += countGain * (arrived - *c)
	}
}

func (s *byteCount) Sent(_ core.Time, id core.LinkID, bytes int) { s.sent[id] += float64(bytes) }
