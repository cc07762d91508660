package gso

import (
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core"
)

// Cursor walks a packet segment by segment. An ordinary packet is its own only
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
	// What the segments' checksums have in common.
	ipSum, addressSum uint64
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
	*c = Cursor{data: p.Data, headers: h, segment: p.Segment, next: h.Len, addressSum: addressSum(p.Data, h)}
	if !h.V6 {
		// All of the header but length, identification and checksum.
		c.ipSum = sum(p.Data[:2], sum(p.Data[6:10], sum(p.Data[12:h.Transport], 0)))
	}
	return nil
}

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
	c.setIP(dst, n)
	t := dst[h.Transport:]
	if h.Protocol == ProtocolTCP {
		c.setTCP(t)
	} else {
		binary.BigEndian.PutUint16(t[4:], uint16(n-h.Transport))
	}
	binary.BigEndian.PutUint16(t[h.ChecksumOffset():], fold(c.addressSum+uint64(n-h.Transport)))
	c.index++
	return n
}

// setIP gives the copied IP header its length, identification and checksum.
func (c *Cursor) setIP(dst []byte, n int) {
	if c.headers.V6 {
		binary.BigEndian.PutUint16(dst[4:], uint16(n-ipv6Len))
		return
	}
	id := binary.BigEndian.Uint16(c.data[4:]) + uint16(c.index)
	binary.BigEndian.PutUint16(dst[2:], uint16(n))
	binary.BigEndian.PutUint16(dst[4:], id)
	binary.BigEndian.PutUint16(dst[10:], ^fold(c.ipSum+uint64(n)+uint64(id)))
}

// setTCP gives the copied TCP header t the sequence number and flags of the
// segment just copied.
func (c *Cursor) setTCP(t []byte) {
	seq := binary.BigEndian.Uint32(c.data[c.headers.Transport+4:]) + uint32(c.index*c.segment)
	binary.BigEndian.PutUint32(t[4:], seq)
	if c.index > 0 {
		t[13] &^= flagCWR
	}
	if c.next < len(c.data) {
		t[13] &^= flagFIN | flagPSH
	}
}
