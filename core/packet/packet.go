// Package packet holds the inner packets that outlive a call: those that wait
// for a link, for their acknowledgement or for an earlier packet.
package packet

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Size is the capacity of a held packet in bytes. The largest inner packet
// (wire.MaxMTU) fits.
const Size = 1424

// Headroom is the room in front of a held packet, in bytes: its header fits, with
// a repair.
const Headroom = wire.PacketHeaderLen + wire.RepairLen

// Packet is one inner packet in counted memory. Whoever keeps it holds a
// reference; the last Release gives it back to its pool. Not safe for
// concurrent use, as nothing in the core is.
type Packet struct {
	Data   []byte // the inner packet, of capacity Size
	Header wire.PacketHeader
	// Flow is a hash of the packet's 5-tuple.
	Flow uint32
	// Class is its class of priority: 0 the lowest (package queue).
	Class uint8
	// Known is the place of the packet's flow in the session's table of
	// flows; Call says that the flow is a call for certain.
	Known classify.Ref
	Call  bool
	// Since is when the packet was taken from the TUN, or from a link.
	Since core.Time
	// Sent is when it was first sent.
	Sent core.Time
	// Tries counts the transmissions after the first.
	Tries int
	// Arrived is what of it was acknowledged, over any link.
	Arrived wire.Part

	pool *Pool
	refs int
	buf  []byte // Headroom, then the memory of Data
}

// Behind returns a part of the packet with n bytes, Headroom at most, in front of
// it, where its header can stand while it is sealed. In front of the second half
// that is the end of the first, which the caller puts back.
func (p *Packet) Behind(n int, part wire.Part) []byte {
	data, from := part.Of(p.Data), Headroom
	if part == wire.SecondHalf {
		from += len(p.Data) - len(data)
	}
	return p.buf[from-n : from+len(data)]
}

// Retain adds a reference.
func (p *Packet) Retain() { p.refs++ }

// Release drops a reference. The packet must not be touched afterwards.
func (p *Packet) Release() {
	p.refs--
	switch {
	case p.refs < 0:
		panic("packet: released more often than retained")
	case p.refs == 0:
		p.pool.put(p)
	}
}

// Pool hands out packets, up to a limit.
type Pool struct {
	free  []*Packet
	live  int
	limit int
}

// NewPool makes a pool of at most limit live packets.
func NewPool(limit int) *Pool { return &Pool{limit: limit} }

// Get returns an empty packet with one reference, or nil when the limit is
// reached: the caller drops what it wanted to keep, and counts it.
func (o *Pool) Get() *Packet {
	if o.live >= o.limit {
		return nil
	}
	o.live++
	if n := len(o.free); n > 0 {
		p := o.free[n-1]
		o.free[n-1] = nil
		o.free = o.free[:n-1]
		p.refs = 1
		return p
	}
	buf := make([]byte, Headroom+Size)
	return &Packet{Data: buf[Headroom:Headroom], buf: buf, pool: o, refs: 1}
}

func (o *Pool) put(p *Packet) {
	o.live--
	*p = Packet{Data: p.Data[:0], buf: p.buf, pool: o}
	o.free = append(o.free, p)
}

// Live returns the number of packets in use.
func (o *Pool) Live() int { return o.live }

// Trim lets go of all but keep free packets, so that a session that has gone
// idle costs little.
func (o *Pool) Trim(keep int) {
	if len(o.free) > keep {
		clear(o.free[keep:])
		o.free = append([]*Packet(nil), o.free[:keep]...)
	}
}
