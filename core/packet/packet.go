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
//
// It is one object. What is touched when a packet is acknowledged, long after the
// rest, is in the first line of the processor's cache.
type Packet struct {
	Data []byte // the inner packet, of capacity Size
	pool *Pool
	refs int32
	// Arrived is what of it was acknowledged, over any link.
	Arrived wire.Part
	// Tries counts the transmissions after the first.
	Tries uint8
	// Class is its class of priority: 0 the lowest (package queue).
	Class uint8
	// Call says that the packet's flow is a call for certain; Known is the
	// place of that flow in the session's table of flows.
	Call  bool
	Known classify.Ref
	// Flow is a hash of the packet's 5-tuple.
	Flow uint32
	// Since is when the packet was taken from the TUN, or from a link.
	Since core.Time
	// Sent is when it was first sent.
	Sent   core.Time
	Header wire.PacketHeader
	buf    [Headroom + Size]byte // the memory of Data, behind Headroom
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
	var p *Packet
	if n := len(o.free); n > 0 {
		p = o.free[n-1]
		o.free[n-1] = nil
		o.free = o.free[:n-1]
	} else {
		p = &Packet{pool: o}
	}
	p.reset()
	return p
}

// reset makes a packet like a new one: when it is taken, since it is written to
// then, and not when it is given back.
func (p *Packet) reset() {
	p.Data, p.refs = p.buf[Headroom:Headroom], 1
	p.Arrived, p.Tries, p.Class, p.Call, p.Known, p.Flow = 0, 0, 0, false, 0, 0
	p.Since, p.Sent, p.Header = 0, 0, wire.PacketHeader{}
}

func (o *Pool) put(p *Packet) {
	o.live--
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
