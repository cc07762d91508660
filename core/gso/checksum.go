package gso

import (
	"encoding/binary"
	"math/bits"
)

// sum adds the 16-bit words of b to acc in one's complement (RFC 1071). An
// odd last byte counts as the high half X
func sum(b []byte, acc uint64) uint64 {
	var carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(tail[:]), carry)
	}
	acc, carry = bits.Add64(acc, 0, carry)
	acc += carry
	return acc>>32 + acc&0xffffffff
}

// fold reduces a sum to 16 bits.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc)
}

// addressSum is the part of the pseudo-header's sum (RFC 9293 3.1, RFC 8200
// 8.1) that all segments of a flow share: addresses and protocol.
func addressSum(p []byte, h Headers) uint64 {
	if h.V6 {
		return sum(p[8:40], uint64(h.Protocol))
	}
	return sum(p[12:20], uint64(h.Protocol))
}

// pseudoSum is the sum of the pseudo-header of a packet of the given length.
func pseudoSum(p []byte, h Headers, packetLen int) uint64 {
	return addressSum(p, h) + uint64(packetLen-h.Transport)
}

// checksumValid says whether the transport checksum of a complete packet is
// right. A UDP checksum of 0 means that there is none, which is never right
// here: such a packet cannot become part of a super-packet.
func checksumValid(p []byte, h Headers) bool {
	if h.Protocol == ProtocolUDP && binary.BigEndian.Uint16(p[h.Transport+6:]) == 0 {
		return false
	}
	return fold(sum(p[h.Transport:], pseudoSum(p, h, len(p)))) == 0xffff
}

// Complete finishes the transport checksum of a Partial packet in place: the
// field holds the sum of the pseudo-header, and the sum of the transport
// header and data is added. The packet must be TCP or UDP, and its IP length
// must be its length.
func Complete(p []byte) error {
	h, err := ParseHeaders(p)
	if err != nil {
		return err
	}
	if h.Total != len(p) {
		return ErrLength
	}
	return CompleteAt(p, h.Transport, h.ChecksumOffset())
}

// CompleteAt finishes a checksum that covers p from start on and whose field,
// offset bytes further, already holds what else it covers. It knows nothing
// of the protocol; a result of zero becomes 0xffff, which is the same number
// in one's complement and what UDP asks for (RFC 768).
func CompleteAt(p []byte, start, offset int) error {
	if start < 0 || offset < 0 || start > len(p) || offset+2 > len(p)-start {
		return ErrOffset
	}
	check := ^fold(sum(p[start:], 0))
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(p[start+offset:], check)
	return nil
}

// setLengths makes the headers of a Partial packet say that the packet is
// packetLen bytes long: IP length, IPv4 header checksum, UDP length, and the
// pseudo-header sum in the transport checksum field.
func setLengths(p []byte, h Headers, packetLen int) {
	if h.V6 {
		binary.BigEndian.PutUint16(p[4:], uint16(packetLen-ipv6Len))
	} else {
		binary.BigEndian.PutUint16(p[2:], uint16(packetLen))
		p[10], p[11] = 0, 0
		binary.BigEndian.PutUint16(p[10:], ^fold(sum(p[:h.Transport], 0)))
	}
	t := p[h.Transport:]
	if h.Protocol == ProtocolUDP {
		binary.BigEndian.PutUint16(t[4:], uint16(packetLen-h.Transport))
	}
	binary.BigEndian.PutUint16(t[h.ChecksumOffset():], fold(pseudoSum(p, h, packetLen)))
}
