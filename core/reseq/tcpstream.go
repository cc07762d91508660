package reseq

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// Limits of the table of streams.
const (
	// maxStreams bounds the streams whose order is kept, about 200 bytes each.
	maxStreams = 2048
	// streamIdle is after how long without a packet a stream is forgotten. One
	// that comes back is taken up where it is then.
	streamIdle = time.Minute
)

// tcpStream is one direction of a TCP connection.
type tcpStream struct {
	key     tcpKey
	next    uint32 // the sequence number that is due
	isn     uint32 // of the SYN, if one was seen
	synSeen bool
	used    core.Time
	held    chain[*tcpHeld] // by sequence number, all after next
	place   place[*tcpStream]
}

// tcpHeld is a segment that waits for an earlier one.
type tcpHeld struct {
	p        *packet.Packet
	stream   *tcpStream
	seq, end uint32
	rst      bool
	inStream place[*tcpHeld]
	inAll    place[*tcpHeld]
}

// stream finds the stream of a segment, or takes it up where the segment is.
func (t *tcp) stream(e *Env, g *segment, out Sink) *tcpStream {
	s := t.streams[g.key]
	if s == nil {
		if len(t.streams) >= maxStreams {
			held := t.stats.HeldPackets
			t.forget(t.used.first.of, out)
			t.stats.Overflow += uint64(held - t.stats.HeldPackets)
		}
		s = take(&t.spareStreams)
		*s = tcpStream{key: g.key, next: g.seq}
		s.place.of = s
		t.streams[g.key] = s
	} else {
		t.used.remove(&s.place)
	}
	s.used = e.Now
	t.used.add(&s.place)
	return s
}

// forget delivers what a stream holds and drops it.
func (t *tcp) forget(s *tcpStream, out Sink) {
	t.flush(s, out)
	t.used.remove(&s.place)
	delete(t.streams, s.key)
	t.spareStreams = append(t.spareStreams, s)
}

// expire forgets the streams that have been idle for long.
func (t *tcp) expire(now core.Time, out Sink) {
	for t.used.first != nil && now.Sub(t.used.first.of.used) >= streamIdle {
		t.forget(t.used.first.of, out)
	}
}

// hold keeps a at its place in the stream. It returns false when there is no
// room for it.
func (t *tcp) hold(e *Env, s *tcpStream, g *segment, a *Arrival) bool {
	size := len(a.Packet.Data)
	if t.stats.HeldPackets >= MaxHeld || t.stats.HeldBytes+size > MaxBytes || size > packet.Size {
		return false
	}
	p := e.Pool.Get()
	if p == nil {
		return false
	}
	p.Data = append(p.Data, a.Packet.Data...)
	p.Header = a.Header
	p.Since = e.Now
	h := take(&t.spareHeld)
	*h = tcpHeld{p: p, stream: s, seq: g.seq, end: g.end, rst: g.rst}
	h.inAll.of, h.inStream.of = h, h
	t.waiting.add(&h.inAll)
	// Most come in order behind the gap; equal ones stay in order of arrival.
	before := s.held.last
	for before != nil && int32(before.of.seq-h.seq) > 0 {
		before = before.prev
	}
	s.held.insert(&h.inStream, before)
	t.stats.Held++
	t.stats.HeldPackets++
	t.stats.HeldBytes += size
	return true
}

// release delivers what the stream holds in order: as far as it goes without a
// gap, and with through also everything up to that segment. A reset ends the
// stream: nothing is held behind it, and release tells of it.
func (t *tcp) release(s *tcpStream, through *tcpHeld, out Sink) (ended bool) {
	for s.held.first != nil {
		h := s.held.first.of
		if int32(h.seq-s.next) > 0 {
			if through == nil && !ended {
				break
			}
			t.stats.GapsSkipped++
		}
		if h == through {
			through = nil
		}
		ended = ended || h.rst
		s.next = later(s.next, h.end)
		t.deliver(h, out)
	}
	return ended
}

// advance is release for a stream that is to be dropped when it has ended.
func (t *tcp) advance(s *tcpStream, through *tcpHeld, out Sink) {
	if t.release(s, through, out) {
		t.forget(s, out)
	}
}

// flush delivers all that a stream holds.
func (t *tcp) flush(s *tcpStream, out Sink) {
	if s.held.last != nil {
		t.release(s, s.held.last.of, out)
	}
}

// deliver lets one held segment go.
func (t *tcp) deliver(h *tcpHeld, out Sink) {
	t.waiting.remove(&h.inAll)
	h.stream.held.remove(&h.inStream)
	t.stats.HeldPackets--
	t.stats.HeldBytes -= len(h.p.Data)
	out.Deliver(inner(h.p), h.p)
	h.p, h.stream = nil, nil
	t.spareHeld = append(t.spareHeld, h)
}

// take returns a spare of a kind, or a new one.
func take[T any](spare *[]*T) *T {
	n := len(*spare)
	if n == 0 {
		return new(T)
	}
	v := (*spare)[n-1]
	(*spare)[n-1] = nil
	*spare = (*spare)[:n-1]
	return v
}
