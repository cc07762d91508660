package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/sched"
)

// This file is about calls, which get low latency without being asked for:
// what they may take, and when they are sent twice.

// The cap of what gets low latency by recognition, or because the peer
// flagged it: callShare of the best link's rate, but callLeast in any case, the
// rate of one call. callBurst of it may pass at once, and callBurstLeast: a
// picture. What is above is ordinary traffic.
const (
	callShare      = 0.3
	callLeast      = 16000 // bytes/s
	callBurst      = 250 * time.Millisecond
	callBurstLeast = 32000 // bytes
)

// Copies over the second best link take callShare of its rate at most.
const (
	copyBurst      = 100 * time.Millisecond
	copyBurstLeast = 3000 // bytes
)

// wary is how long a link that was silent is distrusted.
const wary = 3 * time.Second

// trimTables is how often an idle session gives memory of its tables back.
const trimTables = 10 * time.Second

// calls is what a session knows of flows and lets them do.
type calls struct {
	table   *classify.Table
	allowed allowance
	copies  allowance
	trimmed core.Time
}

// allowance is a token bucket, in bytes.
type allowance struct {
	left   float64
	filled core.Time
}

// ready fills it at a rate in bytes/s, up to most, and tells whether there is any
// left.
func (a *allowance) ready(now core.Time, rate, most float64) bool {
	if a.filled == 0 {
		a.left = most
	} else {
		a.left = min(most, a.left+rate*now.Sub(a.filled).Seconds())
	}
	a.filled = now
	return a.left > 0
}

// take takes n bytes where it is ready.
func (a *allowance) take(now core.Time, rate, most float64, n int) bool {
	if !a.ready(now, rate, most) {
		return false
	}
	a.left -= float64(n)
	return true
}

// mayHurry tells whether n bytes that the user did not ask low latency for
// may get it.
func (s *Session) mayHurry(n int) bool {
	best := 0.0
	for _, l := range s.order {
		if e := l.tx.Estimate(); l.usable() {
			best = max(best, e.Potential())
		}
	}
	rate := max(callShare*best, callLeast)
	if s.calls.allowed.take(s.now, rate, max(rate*callBurst.Seconds(), callBurstLeast), n) {
		return true
	}
	s.counters.CallsCapped++
	return false
}

// distrusted tells whether a call on l is sent twice: l is silent or was, loses,
// or answers late.
func (s *Session) distrusted(l *linkState) bool {
	wasSilent := l.doubted > 0 && s.now.Sub(l.doubted) < wary
	return l.health == suspect || wasSilent || l.tx.Estimate().Loss > doubleLoss || l.hedging()
}

// secure returns the links beside l that carry the packet of a call, of n bytes,
// which l is about to carry. One that l carries alone is watched.
func (s *Session) secure(l *linkState, n int) sched.Set {
	if s.distrusted(l) {
		if second := s.copyLink(l, n); second != nil {
			return sched.Of(second.id)
		}
	}
	l.hedge.sent(s.now, l.tx.NextNumber())
	return 0
}

// copyLink returns the link that carries a copy of n bytes of a call on l: nil
// when there is none, or none that may carry more copies.
func (s *Session) copyLink(l *linkState, n int) *linkState {
	second := s.quickest(l)
	if second == nil {
		return nil
	}
	rate := callShare * second.tx.Estimate().Rate
	if !s.calls.copies.take(s.now, rate, max(rate*copyBurst.Seconds(), copyBurstLeast), n) {
		return nil
	}
	s.counters.CallCopies++
	return second
}

// trimCalls gives memory back now and then.
func (s *Session) trimCalls() {
	if s.now.Sub(s.calls.trimmed) >= trimTables {
		s.calls.trimmed = s.now
		s.calls.table.Trim(s.now)
	}
}
