package reseq

import (
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core/gso"
)

// TCP flags, byte 13 of the header (RFC 9293, section 3.1).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
)

// tcpKey names one direction of a TCP connection: the IP version, then the
// addresses and ports as they stand in the packet.
type tcpKey [37]byte

// segment is what tells a TCP segment's place in its stream.
type segment struct {
	key      tcpKey
	seq, end uint32 // of its first byte, and of the first after it
	syn, rst bool
}

// pure tells whether a segment is an acknowledgement and nothing else.
func (s *segment) pure() bool { return s.seq == s.end && !s.rst }

// parseSegment reads a TCP packet over IPv4 or IPv6. ok is false for anything
// else: fragments, extension headers and lengths that contradict each other
// included.
func parseSegment(p []byte) (s segment, ok bool) {
	h, err := gso.ParseHeaders(p)
	if err != nil || h.Protocol != gso.ProtocolTCP || h.Total != len(p) || h.Len > len(p) {
		return s, false
	}
	s.key[0] = p[0] >> 4
	addresses := p[12:20]
	if h.V6 {
		addresses = p[8:40]
	}
	t := p[h.Transport:]
	n := 1 + copy(s.key[1:], addresses)
	copy(s.key[n:], t[:4])
	flags := t[13]
	s.syn, s.rst = flags&flagSYN != 0, flags&flagRST != 0
	s.seq = binary.BigEndian.Uint32(t[4:])
	s.end = s.seq + uint32(len(p)-h.Len)
	// SYN and FIN take a number each.
	if s.syn {
		s.end++
	}
	if flags&flagFIN != 0 {
		s.end++
	}
	return s, true
}

// later returns the later of two sequence numbers that are less than 2^31
// apart.
func later(a, b uint32) uint32 {
	if int32(a-b) > 0 {
		return a
	}
	return b
}
