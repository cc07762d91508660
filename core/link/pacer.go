package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Pacing: a little faster than the window alone would send, so that the
// window and not the pacer is what limits.
const (
	paceGain      = 1.2
	paceGainStart = 2.0
	paceFloor     = 20_000 // bytes/s, so that a link without samples moves
	paceQuantum   = time.Millisecond
	startBurst    = 16 * segment
	paceRoundTrip = 0.1 // seconds, as long as none was measured
)

// segment is the unit in which windows are counted.
const segment = core.FullPacket

// pacer spaces datagrams at a rate, allowing short bursts.
type pacer struct {
	next core.Time // when the next datagram may leave
}

// sent accounts for size bytes at rate bytes/s; unused time is credit for at
// most burst.
func (p *pacer) sent(now core.Time, size int, rate float64, burst time.Duration) {
	p.next = max(p.next, now.Add(-burst)).Add(time.Duration(float64(size) / rate * 1e9))
}

// paceRate is the rate of the pacer in bytes/s.
func (s *Sender) paceRate() float64 {
	if !s.rtt.known() {
		return max(paceFloor, float64(s.window.size)/paceRoundTrip)
	}
	gain := paceGain
	if s.window.starting {
		gain = paceGainStart
	}
	rate := gain * float64(s.window.size) / s.rtt.smoothed.Seconds()
	if slow, ok := s.window.shallowPace(); ok {
		rate = slow
	}
	if s.window.calm && !s.window.starting {
		rate = min(rate, calmPace*s.window.rate)
	}
	return max(paceFloor, rate)
}

func (s *Sender) paceBurst() time.Duration {
	if s.window.starting {
		return max(paceQuantum, time.Duration(startBurst/s.paceRate()*1e9))
	}
	if _, ok := s.window.shallowPace(); ok {
		return min(paceQuantum, s.window.packets(1))
	}
	return paceQuantum
}

// Room is the number of bytes the window lets into flight now.
func (s *Sender) Room() int {
	if s.window.off {
		return 1 << 30
	}
	return s.window.effective() - s.inFlight
}

// Open tells whether a datagram may leave now, and if not, when the pacer
// lets the next one go (Never: when an acknowledgement has come).
func (s *Sender) Open(now core.Time) (bool, core.Time) {
	if s.window.off {
		return s.limit.next <= now, s.limit.next
	}
	if s.Room() < segment/2 {
		return false, core.Never
	}
	next := max(s.pacer.next, s.limit.next)
	return next <= now, next
}

// Passable tells whether a datagram of a sparse flow may leave now though window or
// pacer hold others back: on a slow link that spares it the wait for a packet of
// theirs. What passes, about a full packet at most, is taken off what the others may
// send. A short queue would lose it, and a cap holds for all.
func (s *Sender) Passable(now core.Time) bool {
	if s.window.off || s.limit.next > now || s.Room() <= -segment {
		return false
	}
	if _, short := s.window.shallowPace(); short {
		return false
	}
	// The pacer is a packet ahead when one of the others has just left.
	return s.Ahead(now).Seconds()*s.paceRate() <= 2*segment
}

// Ahead is how long the pacer needs for what has left, which a datagram that
// leaves past it waits for in the link's queue, or is lost where that is short.
func (s *Sender) Ahead(now core.Time) time.Duration {
	if s.window.off {
		return 0
	}
	return max(0, s.pacer.next.Sub(now))
}

// Limited notes that packets are waiting though the link may carry data: it is
// its window or pacer, not a lack of packets, that holds them back.
func (s *Sender) Limited() {
	s.window.held = true
	if s.Room() < segment/2 {
		s.window.limited = true
	}
}
