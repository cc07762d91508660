package reseq

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// ring holds the packets of one sequence that wait for an earlier one. Slots
// are indexed by sequence modulo the length, which is a power of two and grows
// as needed up to MaxHeld.
type ring struct {
	slots   []slot
	next    uint32 // the sequence that is due
	started bool
	held    int
	bytes   int
	since   core.Time // when the oldest gap began to be waited for
}

type slot struct {
	p      *packet.Packet
	passed bool // was delivered out of order
}

func (r *ring) slot(seq uint32) *slot { return &r.slots[seq&uint32(len(r.slots)-1)] }

// room makes the slots reach seq, and tells whether they can. Sequences from
// next up to next+len-1 have a slot each.
func (r *ring) room(seq uint32) bool {
	ahead := int(seq - r.next)
	if ahead >= MaxHeld {
		return false
	}
	if ahead < len(r.slots) {
		return true
	}
	n := max(64, len(r.slots))
	for n <= ahead {
		n *= 2
	}
	old := *r
	r.slots = make([]slot, n)
	for i := range uint32(len(old.slots)) {
		*r.slot(old.next + i) = *old.slot(old.next + i)
	}
	return true
}

// hold keeps a at seq, which is after next. It returns false when there is no
// room for it.
func (r *ring) hold(e *Env, seq uint32, a *Arrival) bool {
	if !r.room(seq) || r.bytes+len(a.Packet.Data) > MaxBytes {
		return false
	}
	p := e.Pool.Get()
	if p == nil || len(a.Packet.Data) > cap(p.Data) {
		if p != nil {
			p.Release()
		}
		return false
	}
	p.Data = append(p.Data, a.Packet.Data...)
	p.Header = a.Header
	p.Since = e.Now
	r.slot(seq).p = p
	if r.held == 0 {
		r.since = e.Now
	}
	r.held++
	r.bytes += len(p.Data)
	return true
}

// pass notes that seq, which is after next, was delivered out of order.
func (r *ring) pass(seq uint32) {
	if r.room(seq) {
		r.slot(seq).passed = true
	}
}

// advance delivers from next on until the next gap.
func (r *ring) advance(out Sink) {
	for len(r.slots) > 0 {
		s := r.slot(r.next)
		switch {
		case s.p != nil:
			r.held--
			r.bytes -= len(s.p.Data)
			out.Deliver(inner(s.p), s.p)
		case !s.passed:
			r.restart()
			return
		}
		*s = slot{}
		r.next++
	}
}

// restart sets the time the present gap is waited for: since its first
// follower came.
func (r *ring) restart() {
	if r.held == 0 {
		return
	}
	r.since = r.slot(r.first()).p.Since
}

// first is the lowest sequence held; there must be one.
func (r *ring) first() uint32 {
	seq := r.next
	for r.slot(seq).p == nil {
		seq++
	}
	return seq
}

// skip gives up the gap at next and returns its length. Something must be
// held.
func (r *ring) skip(out Sink) uint64 {
	seq := r.next
	var gone uint64
	for s := r.slot(seq); s.p == nil; s = r.slot(seq) {
		if !s.passed {
			gone++
		}
		*s = slot{}
		seq++
	}
	r.next = seq
	r.advance(out)
	return gone
}

// stepOver gives up the gap at next up to the first sequence that passed, of
// which there must be one, and returns the gap's length.
func (r *ring) stepOver(out Sink) uint64 {
	first := r.next
	for s := r.slot(r.next); s.p == nil && !s.passed; s = r.slot(r.next) {
		r.next++
	}
	gone := uint64(r.next - first)
	r.advance(out)
	return gone
}

// missing is how many sequences before seq did not come; nothing may be held.
func (r *ring) missing(seq uint32) uint64 {
	n := uint64(seq - r.next)
	for i := range r.slots {
		if r.slots[i].passed {
			n--
		}
	}
	return n
}

func inner(p *packet.Packet) core.Packet {
	return core.Packet{Data: p.Data, Partial: p.Header.Flags&wire.Partial != 0}
}
