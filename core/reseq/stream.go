package reseq

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// holdSlack is waited beyond what the links' delays explain.
const holdSlack = 10 * time.Millisecond

// stream restores the order of one sequence.
type stream struct {
	ring
	stats *Stats
}

// push takes a packet of the given sequence and delivers what is in order.
func (s *stream) push(e *Env, seq uint32, a *Arrival, out Sink) {
	if !s.started {
		s.started, s.next = true, seq
	}
	switch ahead := int32(seq - s.next); {
	case ahead < 0:
		s.stats.Late++
		out.Deliver(a.Packet, nil)
	case ahead == 0:
		if s.held > 0 {
			s.stats.Reordered++
		}
		out.Deliver(a.Packet, nil)
		s.taken(seq)
		s.advance(out)
	default:
		s.wait(e, seq, a, out)
	}
}

// taken steps over a sequence that has just been delivered from next.
func (s *stream) taken(seq uint32) {
	if len(s.slots) > 0 {
		*s.slot(seq) = slot{}
	}
	s.next = seq + 1
}

// wait holds a, and makes room for it where there is none.
func (s *stream) wait(e *Env, seq uint32, a *Arrival, out Sink) {
	for !s.hold(e, seq, a) {
		s.stats.Overflow++
		if s.held == 0 {
			// A jump further than the ring reaches: the peer began anew, or
			// lost more than could be put in order.
			s.stats.GapsSkipped += s.missing(seq)
			clear(s.slots)
			out.Deliver(a.Packet, nil)
			s.next = seq + 1
			return
		}
		s.giveUp(out)
		if int32(seq-s.next) <= 0 {
			s.push(e, seq, a, out)
			return
		}
	}
	s.stats.Held++
}

// giveUp steps over the gap that is waited for. Something must be held.
func (s *stream) giveUp(out Sink) { s.stats.GapsSkipped += s.skip(out) }

// expire gives up the gaps that have been waited for long enough.
func (s *stream) expire(e *Env, out Sink) {
	for s.held > 0 && e.Now.Sub(s.since) >= holdTime(e) {
		s.giveUp(out)
	}
}

// deadline is when expire has something to do.
func (s *stream) deadline(e *Env) core.Time {
	if s.held == 0 {
		return core.Never
	}
	return s.since.Add(holdTime(e))
}

func (s *stream) flush(out Sink) {
	for s.held > 0 {
		s.giveUp(out)
	}
}

// holdTime is the longest a packet may wait: until every link could have
// delivered what was sent before it, and a repair could have come, also of what
// was on its way over a link that has just gone, and this host have read it.
func holdTime(e *Env) time.Duration {
	return min(e.Spread+4*e.Jitter+holdSlack+2*e.Repair+e.Outage+e.Lag, MaxHold)
}
