package gso

import (
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core"
)

// Cursor walks a packet segment by segment, so that a super-packet can wait
// in a queue whole and leave in runs. An ordinary packet is its own only
// segment. The zero Cursor has nothing left.
//
// The cursor borrows the packet's bytes until its last segment was taken; it
// does not change them.
type Cursor struct {
	data    []byte
	headers Headers
	segment int // payload bytes per segment; 0 for an ordinary packet
	next    int // where in data the payload of the next segment begins
	index   int // of the next segment
}

// Init sets the cursor to the first segment of p. If p is a super-packet
// whose headers are not those of one, it returns an error and the cursor has
// nothing left.
func (c *Cursor) Init(p core.Packet) error {
	*c = Cursor{}
	if p.Segment == 0 {
		c.data = p.Data
		return nil
	}
	h, err := ParseHeaders(p.Data)
	if err != nil {
		return err
	}
	if p.Segment < 0 || p.Segment > MaxPacket-h.Len || len(p.Data) == h.Len {
		return ErrSegment
	}
	*c = Cursor{data: p.Data, headers: h, segment: p.Segment, next: h.Len}
	return nil
}

// Segments is the number of segments of the whole packet.
func (c *Cursor) Segments() int { return c.index + c.Left() }

// Left is the number of segments not taken yet.
func (c *Cursor) Left() int {
	rest := len(c.data) - c.next
	if c.segment == 0 {
		return min(rest, 1)
	}
	return (rest + c.segment - 1) / c.segment
}

// NextLen is the length in bytes of the next segment as an IP packet, 0 when
// none is left.
func (c *Cursor) NextLen() int {
	rest := len(c.data) - c.next
	if c.segment == 0 || rest == 0 {
		return rest
	}
	return c.headers.Len + min(rest, c.segment)
}

// Next writes the next segment to dst as an IP packet and returns its length,
// NextLen, which dst must have room for. A segment of a super-packet is
// Partial; an ordinary packet is written as it is. It returns 0 when none is
// left.
//
// The headers become those that TCP segmentation gives: consecutive IPv4
// identifications and TCP sequence numbers, FIN and PSH on the last segment
// only, CWR (RFC 3168) on the first only.
func (c *Cursor) Next(dst []byte) int {
	n := c.NextLen()
	if n == 0 {
		return 0
	}
	dst = dst[:n]
	if c.segment == 0 {
		c.next = copy(dst, c.data)
		c.index++
		return n
	}
	h := c.headers
	copy(dst, c.data[:h.Len])
	c.next += copy(dst[h.Len:], c.data[c.next:])
	if !h.V6 {
		id := binary.BigEndian.Uint16(dst[4:]) + uint16(c.index)
		binary.BigEndian.PutUint16(dst[4:], id)
	}
	if h.Protocol == ProtocolTCP {
		c.setTCP(dst[h.Transport:])
	}
	setLengths(dst, h, n)
	c.index++
	return n
}

// setTCP gives the copied TCP header t the sequence number and flags of the
// segment just copied.
func (c *Cursor) setTCP(t []byte) {
	seq := binary.BigEndian.Uint32(t[4:]) + uint32(c.index*c.segment)
	binary.BigEndian.PutUint32(t[4:], seq)
	if c.index > 0 {
		t[13] &^= flagCWR
	}
	if c.next < len(c.data) {
		t[13] &^= flagFIN | flagPSH
	}
}
