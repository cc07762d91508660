package gso

import (
	"bytes"
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core"
)

// follow joins p if it is one more full segment of the TCP stream of which one came
// last, as most packets are: its headers are those of the group's first packet but for
// what counts up. Of anything else it does nothing, and take finds out.
func (c *Coalescer) follow(p core.Packet) bool {
	if c.last < 0 || !p.Partial || p.Segment != 0 {
		return false
	}
	o := &c.open[c.last]
	g := &c.groups[o.group]
	first, h := g.Parts[0], &g.Headers
	if h.Protocol != ProtocolTCP || !o.verified || len(p.Data) != len(first) ||
		g.Len+len(first)-h.Len > MaxPacket || len(g.Parts) == maxTCPParts {
		return false
	}
	if !o.followsIP(first, p.Data, h.V6) || !o.followsTCP(first[h.Transport:h.Len], p.Data[h.Transport:h.Len]) {
		return false
	}
	o.grow(g, p.Data[h.Len:], len(first)-h.Len)
	return true
}

// followsIP compares whole IP headers, but for the identification and checksum of
// IPv4.
func (o *openGroup) followsIP(a, b []byte, v6 bool) bool {
	if v6 {
		return bytes.Equal(a[:ipv6Len], b[:ipv6Len])
	}
	flags := binary.BigEndian.Uint16(a[6:])
	return binary.NativeEndian.Uint32(a) == binary.NativeEndian.Uint32(b) &&
		binary.NativeEndian.Uint32(a[6:]) == binary.NativeEndian.Uint32(b[6:]) &&
		binary.NativeEndian.Uint64(a[12:]) == binary.NativeEndian.Uint64(b[12:]) &&
		(flags&ipv4DontFragment != 0 || binary.BigEndian.Uint16(b[4:]) == o.id)
}

// followsTCP compares whole TCP headers, but for the checksum.
func (o *openGroup) followsTCP(a, b []byte) bool {
	return binary.NativeEndian.Uint32(a) == binary.NativeEndian.Uint32(b) && // ports
		binary.BigEndian.Uint32(b[4:]) == o.seq &&
		binary.NativeEndian.Uint64(a[8:]) == binary.NativeEndian.Uint64(b[8:]) && // up to the window
		bytes.Equal(a[18:], b[18:]) // urgent pointer, options
}
