package gso

import (
	"bytes"
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core"
)

const (
	// maxOpen bounds the flows that can be joined at a time. The kernel's GRO
	// holds 8 per bucket.
	maxOpen = 16
	// maxTCPParts bounds the segments of one super-packet, and so what a
	// device has to gather: with full-sized segments MaxPacket comes first.
	maxTCPParts = 128
	// maxUDPParts is UDP_MAX_SEGMENTS of the kernels before 6.9.
	maxUDPParts = 64
)

// Group is one packet to be written to the device: an ordinary packet, or a
// super-packet made of several. Concatenated, its parts are the packet.
type Group struct {
	// Parts is the first packet, whole and with the headers of the group,
	// then the payload of each packet that follows it.
	Parts [][]byte
	// Len is the length of all parts, in bytes.
	Len int
	// Headers is set where Partial is.
	Headers Headers
	// Segment and Partial are those of core.Packet.
	Segment int
	Partial bool
}

// open is a group that may still grow.
type openGroup struct {
	group    int // index in Coalescer.groups
	ports    uint32
	seq      uint32 // TCP: next sequence number
	id       uint16 // IPv4: next identification
	verified bool   // the first packet's checksum may be replaced
}

// Coalescer joins the packets of a flow that follow one another into
// super-packets, as the kernel's GRO does: TCP segments with the same
// addresses, ports, TOS, TTL, acknowledgement, window and options, with
// consecutive sequence numbers and no flag but ACK and PSH; UDP datagrams of
// equal size. A shorter one or PSH ends a group. Only packets that are
// Partial or whose checksum is right are joined.
//
// The order of packets within a flow is kept exactly. A packet may overtake
// packets of other flows of the same call.
type Coalescer struct {
	TCP bool // join TCP segments
	UDP bool // join UDP datagrams

	groups []Group
	open   []openGroup // oldest first
	last   int         // index in open of the group that a packet joined last; -1: none
}

// Coalesce groups the packets. It takes ordinary packets only; malformed is
// the number of those it left out because they are super-packets, or are
// Partial without being whole TCP or UDP packets.
//
// The groups are valid until the next call. They refer to the packets' bytes,
// of which headers were changed.
func (c *Coalescer) Coalesce(pkts []core.Packet) (groups []Group, malformed int) {
	c.groups, c.open, c.last = c.groups[:0], c.open[:0], -1
	for _, p := range pkts {
		if !c.follow(p) && !c.take(p) {
			malformed++
		}
	}
	for i := range c.groups {
		if g := &c.groups[i]; len(g.Parts) > 1 {
			setLengths(g.Parts[0], g.Headers, g.Len)
		}
	}
	return c.groups, malformed
}

// take puts p where it belongs; false when it is malformed.
func (c *Coalescer) take(p core.Packet) bool {
	h, err := ParseHeaders(p.Data)
	whole := err == nil && h.Total == len(p.Data)
	switch {
	case p.Segment != 0 || p.Partial && !whole:
		return false
	case !whole || !h.V6 && h.Transport != ipv4Len:
		// Part of a flow that cannot be told, like a fragment: nothing
		// that comes later may overtake it.
		c.open, c.last = c.open[:0], -1
		c.add(p, h)
	default:
		c.place(p, h)
	}
	return true
}

// place joins a whole TCP or UDP packet to the group of its flow, or begins
// a new one.
func (c *Coalescer) place(p core.Packet, h Headers) {
	at := c.find(p.Data, h)
	joinable := c.joinable(p.Data, h)
	if at >= 0 {
		if joinable && c.join(&c.open[at], p, h) {
			c.last = at
			if c.ended(at, p.Data, h) {
				c.close(at)
			}
			return
		}
		c.close(at)
	}
	c.add(p, h)
	if !joinable || pushed(p.Data, h) {
		return
	}
	if len(c.open) == maxOpen {
		c.close(0)
	}
	o := openGroup{group: len(c.groups) - 1, ports: ports(p.Data, h), verified: p.Partial}
	if h.Protocol == ProtocolTCP {
		o.seq = tcpSeq(p.Data, h) + uint32(len(p.Data)-h.Len)
	}
	if !h.V6 {
		o.id = binary.BigEndian.Uint16(p.Data[4:]) + 1
	}
	c.open = append(c.open, o)
	c.last = len(c.open) - 1
}

// add makes a group of one packet.
func (c *Coalescer) add(p core.Packet, h Headers) {
	if len(c.groups) < cap(c.groups) {
		c.groups = c.groups[:len(c.groups)+1]
	} else {
		c.groups = append(c.groups, Group{})
	}
	g := &c.groups[len(c.groups)-1]
	*g = Group{
		Parts:   append(g.Parts[:0], p.Data),
		Len:     len(p.Data),
		Headers: h,
		Partial: p.Partial,
	}
}

// find returns the index in c.open of the packet's flow, or -1.
func (c *Coalescer) find(p []byte, h Headers) int {
	want := ports(p, h)
	for i := range c.open {
		if c.open[i].ports != want {
			continue
		}
		g := &c.groups[c.open[i].group]
		if g.Headers.V6 == h.V6 && g.Headers.Protocol == h.Protocol && sameAddresses(g.Parts[0], p, h) {
			return i
		}
	}
	return -1
}

func (c *Coalescer) close(at int) {
	c.open = append(c.open[:at], c.open[at+1:]...)
	c.last = -1
}

// joinable says whether a packet can be part of a super-packet at all, apart
// from its checksum.
func (c *Coalescer) joinable(p []byte, h Headers) bool {
	if len(p) == h.Len {
		return false
	}
	t := p[h.Transport:]
	if h.Protocol == ProtocolUDP {
		return c.UDP && int(binary.BigEndian.Uint16(t[4:])) == len(t)
	}
	return c.TCP && t[13]&^flagPSH == flagACK
}

// join appends the payload of p to the group if it continues it.
func (c *Coalescer) join(o *openGroup, p core.Packet, h Headers) bool {
	g := &c.groups[o.group]
	first, payload := g.Parts[0], p.Data[h.Len:]
	size := g.Segment
	limit := maxUDPParts
	if h.Protocol == ProtocolTCP {
		limit = maxTCPParts
	}
	if size == 0 {
		size = len(first) - h.Len
	}
	if h.Len != g.Headers.Len || len(payload) > size || g.Len+len(payload) > MaxPacket || len(g.Parts) == limit {
		return false
	}
	if !o.continuesIP(first, p.Data, h) || h.Protocol == ProtocolTCP && !o.continuesTCP(first, p.Data, h) {
		return false
	}
	if !p.Partial && !checksumValid(p.Data, h) {
		return false
	}
	if !o.verified {
		if !checksumValid(first, h) {
			return false
		}
		o.verified = true
	}
	if pushed(p.Data, h) {
		first[h.Transport+13] |= flagPSH
	}
	o.grow(g, payload, size)
	return true
}

// grow appends the payload of the next packet to a group, whose segments are of
// the given size.
func (o *openGroup) grow(g *Group, payload []byte, size int) {
	g.Parts = append(g.Parts, payload)
	g.Len += len(payload)
	g.Segment, g.Partial = size, true
	o.seq += uint32(len(payload))
	o.id++
}

// ended says whether p, just joined, is the last the group can take.
func (c *Coalescer) ended(at int, p []byte, h Headers) bool {
	g := &c.groups[c.open[at].group]
	return len(p)-h.Len < g.Segment || pushed(p, h)
}

// continuesIP compares the IP headers of a group's first packet and of the
// next one. The identification of IPv4 must count up as segmentation makes it,
// except where the packets may not be fragmented and it means nothing
// (RFC 6864 4.1).
func (o *openGroup) continuesIP(first, p []byte, h Headers) bool {
	if h.V6 {
		return bytes.Equal(first[:4], p[:4]) && first[7] == p[7]
	}
	flags := binary.BigEndian.Uint16(p[6:])
	return first[1] == p[1] && first[8] == p[8] &&
		binary.BigEndian.Uint16(first[6:]) == flags &&
		(flags&ipv4DontFragment != 0 || binary.BigEndian.Uint16(p[4:]) == o.id)
}

// continuesTCP compares the TCP headers of a group's first packet and of the
// next one.
func (o *openGroup) continuesTCP(first, p []byte, h Headers) bool {
	a, b := first[h.Transport:h.Len], p[h.Transport:h.Len]
	return tcpSeq(p, h) == o.seq &&
		bytes.Equal(a[8:13], b[8:13]) && // acknowledgement, header length
		bytes.Equal(a[14:16], b[14:16]) && // window
		bytes.Equal(a[18:], b[18:]) // urgent pointer, options
}

func sameAddresses(a, b []byte, h Headers) bool {
	if h.V6 {
		return bytes.Equal(a[8:40], b[8:40])
	}
	return bytes.Equal(a[12:20], b[12:20])
}

func ports(p []byte, h Headers) uint32 { return binary.BigEndian.Uint32(p[h.Transport:]) }

func tcpSeq(p []byte, h Headers) uint32 { return binary.BigEndian.Uint32(p[h.Transport+4:]) }

// pushed says whether p is a TCP segment with PSH set.
func pushed(p []byte, h Headers) bool {
	return h.Protocol == ProtocolTCP && p[h.Transport+13]&flagPSH != 0
}
