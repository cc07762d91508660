package qos

import (
	"encoding/binary"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// Constants of the shaper.
const (
	seenFor      = 1500 * time.Millisecond // a priority counts as active after a packet of it
	congestedFor = time.Second             // the links count as congested after they were
	interval     = 200 * time.Millisecond  // of control

	// standing is what must wait at the sender, as a time, for congestion.
	standing = 5 * time.Millisecond

	// firstRound is the round trip that a flow's first limit assumes.
	firstRound = 200 * time.Millisecond
	// A limit changes by a factor of so much per interval.
	mostCut, mostGrowth = 0.6, 1.3
	release             = 1.25 // while the links are not congested
	noLimit             = 1 << 30
)

// lowShare is the share of all that comes which the flows of a priority get
// together, while a higher one is active and the links are congested.
var lowShare = [Lowest + 1]float64{2: 0.2, 3: 0.1}

// Shaper slows down the TCP flows of lower priority that a peer sends, without
// the peer's help: it lowers the receive windows that this end announces to
// them, so that they get lowShare of what comes in. It never raises a window,
// makes none zero, and leaves alone what it does not understand: flows whose
// two SYNs it has not both seen, since it does not know their window scale (RFC
// 7323, section 2), fragments, and packets with IPv6 extension headers.
type Shaper struct {
	flows     flowTable
	seen      [Lowest + 1]core.Time // when a packet of a priority last came or left
	congested core.Time             // when the links last were
	ticked    core.Time
	total     int     // bytes that came since
	rate      float64 // bytes/s of all that comes, smoothed
	lowered   uint64
}

// Lowered is how many windows were lowered.
func (s *Shaper) Lowered() uint64 { return s.lowered }

// Backlog says how long what waits at the sender takes to leave.
func (s *Shaper) Backlog(now core.Time, wait time.Duration) {
	if wait >= standing {
		s.congested = now
	}
}

// Received takes note of a packet that came from the peer. flow is the hash of
// its flow in the direction of Sent.
func (s *Shaper) Received(now core.Time, p []byte, flow uint32, priority uint8) {
	s.seen[priority] = now
	s.total += len(p)
	s.tick(now)
	h, t, ok := tcpOf(p)
	if !ok {
		return
	}
	f, syn := s.flows.of(now, flow, t)
	if syn {
		f.peer = scaleOf(t)
	}
	if f != nil {
		f.used, f.priority = now, priority
		f.received += len(p)
		f.segment = max(f.segment, min(len(p)-h.Len, maxSegment))
	}
}

// Sent lowers the window in a packet that leaves for the peer, if it is one of
// a flow to be slowed down. flow is the hash of its flow; partial says that its
// checksum does not cover the window yet.
func (s *Shaper) Sent(now core.Time, p []byte, partial bool, flow uint32) {
	_, t, ok := tcpOf(p)
	if !ok {
		return
	}
	f, syn := s.flows.of(now, flow, t)
	if syn {
		f.own = scaleOf(t)
		return // the window of a SYN has no scale
	}
	s.tick(now)
	if f == nil || t[13]&flagACK == 0 || f.limit == 0 {
		return
	}
	shift, known := f.scale()
	if !known {
		return
	}
	limit := (int64(f.limit) + 1<<shift - 1) >> shift
	old := binary.BigEndian.Uint16(t[14:])
	if int64(old) <= limit {
		return
	}
	value := uint16(max(1, limit))
	binary.BigEndian.PutUint16(t[14:], value)
	if !partial {
		gso.UpdateChecksum(t[16:18], old, value, false)
	}
	s.lowered++
}

// tick decides about all limits when an interval has passed.
func (s *Shaper) tick(now core.Time) {
	passed := now.Sub(s.ticked)
	if passed < interval {
		return
	}
	s.ticked = now
	if passed > 10*interval {
		s.rate = 0 // of long ago
	}
	s.rate += (float64(s.total)/passed.Seconds() - s.rate) / 2
	s.total = 0
	var active [Lowest + 1]float64
	s.flows.each(func(f *tcpFlow) {
		f.rate += (float64(f.received)/passed.Seconds() - f.rate) / 2
		f.received = 0
		if now.Sub(f.used) < seenFor {
			active[f.priority]++
		}
	})
	congested := s.congested > 0 && now.Sub(s.congested) < congestedFor
	s.flows.each(func(f *tcpFlow) {
		if !s.outranked(now, f.priority) {
			f.limit = 0
			return
		}
		f.adjust(lowShare[f.priority]*s.rate/max(1, active[f.priority]), congested)
	})
}

// outranked tells whether a higher priority is active.
func (s *Shaper) outranked(now core.Time, priority uint8) bool {
	for p := uint8(Highest); p < priority; p++ {
		if s.seen[p] > 0 && now.Sub(s.seen[p]) < seenFor {
			return true
		}
	}
	return false
}

// adjust moves the limit of a flow towards a rate.
func (f *tcpFlow) adjust(target float64, congested bool) {
	switch {
	case !congested && f.limit == 0:
		return
	case !congested:
		f.limit *= release
	case f.limit == 0:
		f.limit = f.rate * firstRound.Seconds()
	default:
		f.limit *= min(max(target/max(f.rate, 1), mostCut), mostGrowth)
	}
	if f.limit > noLimit {
		f.limit = 0
		return
	}
	// With less than a segment the sender would wait for its timer.
	f.limit = max(f.limit, float64(f.segment), 1)
}
