package reseq

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// maxWindow is the largest window a TCP may offer (RFC 7323, section 2.3). A
// segment further from what is due belongs to another connection on the same
// ports.
const maxWindow = 1 << 30

// tcp puts the segments of each TCP stream in order by their own sequence
// numbers and needs nothing from the header: the second resequencer of the
// prototype (docs/schedulers.md), with a wait that follows the links instead of
// being fixed. A stream is one direction of a connection.
//
//   - What is due, or before it, passes at once: a sender that sends again is
//     never held up.
//   - What is ahead of it waits, a pure acknowledgement, FIN or RST as well: none
//     overtakes data of its own direction. Acknowledgements of a direction
//     without data are always due.
//   - SYN begins a stream anew unless it is a repetition; RST ends it.
//   - All else passes: other protocols, fragments, low-latency packets.
//
// No segment waits longer than the hold time. Unlike the flow resequencer this
// one cannot tell what the tunnel lost or delayed from what never entered it, so
// that each drop before the tunnel costs a whole hold time. Of its counts, a gap
// is one however many bytes it has, and what its sender sent again counts as
// late.
type tcp struct {
	streams map[tcpKey]*tcpStream
	used    chain[*tcpStream] // by last use
	waiting chain[*tcpHeld]   // by arrival, of all streams
	stats   Stats

	deadline     core.Time
	spareStreams []*tcpStream
	spareHeld    []*tcpHeld
}

func newTCP() *tcp {
	return &tcp{streams: map[tcpKey]*tcpStream{}, deadline: core.Never}
}

func (*tcp) Name() string { return "tcp" }

func (t *tcp) Push(e *Env, a *Arrival, out Sink) {
	t.expire(e.Now, out)
	g, ok := parseSegment(a.Packet.Data)
	if !ok || a.Header.Flags&wire.LowLatency != 0 {
		out.Deliver(a.Packet, nil)
		return
	}
	for !t.order(e, &g, a, out) {
		t.stats.Overflow++
		oldest := t.waiting.first
		if oldest == nil {
			t.skipTo(e, &g, a, out)
			break
		}
		t.advance(oldest.of.stream, oldest.of, out)
	}
	t.review(e)
}

// order delivers or holds a segment. It returns false when it must be held and
// there is no room.
func (t *tcp) order(e *Env, g *segment, a *Arrival, out Sink) bool {
	if g.rst && t.streams[g.key] == nil {
		out.Deliver(a.Packet, nil)
		return true
	}
	s := t.stream(e, g, out)
	ahead := int32(g.seq - s.next)
	switch {
	case g.syn && !(s.synSeen && s.isn == g.seq), ahead > maxWindow, ahead < -maxWindow:
		t.flush(s, out)
		out.Deliver(a.Packet, nil)
		s.next, s.isn, s.synSeen = g.end, g.seq, g.syn
	case ahead > 0:
		return t.hold(e, s, g, a)
	default:
		t.due(s, g, a, out)
	}
	return true
}

// due delivers a segment that is due or was before, and what waited for it.
func (t *tcp) due(s *tcpStream, g *segment, a *Arrival, out Sink) {
	if g.end != g.seq {
		switch {
		case g.seq != s.next:
			t.stats.Late++
		case s.held.first != nil:
			t.stats.Reordered++
		}
	}
	out.Deliver(a.Packet, nil)
	if g.rst && g.seq == s.next {
		t.forget(s, out)
		return
	}
	s.next = later(s.next, g.end)
	t.advance(s, nil, out)
}

// skipTo delivers a segment that can not be held though nothing else is.
func (t *tcp) skipTo(e *Env, g *segment, a *Arrival, out Sink) {
	t.stats.GapsSkipped++
	t.stream(e, g, out).next = g.end
	out.Deliver(a.Packet, nil)
}

func (t *tcp) HandleTimeout(e *Env, out Sink) {
	t.expire(e.Now, out)
	for hold := holdTime(e); t.waiting.first != nil; {
		oldest := t.waiting.first.of
		if e.Now.Sub(oldest.p.Since) < hold {
			break
		}
		t.advance(oldest.stream, oldest, out)
	}
	t.review(e)
}

// review finds the next deadline.
func (t *tcp) review(e *Env) {
	t.deadline = core.Never
	if t.waiting.first != nil {
		t.deadline = t.waiting.first.of.p.Since.Add(holdTime(e))
	}
}

func (t *tcp) NextTimeout() core.Time { return t.deadline }

func (t *tcp) Flush(out Sink) {
	for t.waiting.first != nil {
		t.flush(t.waiting.first.of.stream, out)
	}
	t.deadline = core.Never
}

func (t *tcp) Stats() Stats { return t.stats }
