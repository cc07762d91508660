package wire

import (
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core"
)

// PacketHeaderLen is the length of a PacketHeader without a repair.
const PacketHeaderLen = 8

// repairLen is what a repair adds: the link and 56 bits of its number.
const repairLen = 8

// Flags of a PacketHeader, in the lower half of its first byte.
type Flags uint8

// The flags.
const (
	// Partial: the transport checksum is the pseudo-header's sum only; see
	// core.Packet.
	Partial Flags = 1 << iota
	// LowLatency marks packets that are never held and whose flow is answered
	// on the lowest-latency link.
	LowLatency
	// Repaired: the packet was sent before, on the link and number that the
	// header names.
	Repaired
	// Copy: the packet may arrive on another link too.
	Copy
)

// Numbering says what the sequence in a PacketHeader counts.
type Numbering uint8

// The numberings, as the receiver's resequencer asks for them.
const (
	Unnumbered Numbering = iota // nothing
	PerSession                  // all packets of the session
	PerBucket                   // the packets of the flow bucket
)

// PacketHeader precedes an inner packet in a body.
//
//	 0                   1                   2                   3
//	+-------+-------+---+-----------+-------------------------------+
//	| kind 1| flags |num|   class   |            bucket             |
//	+-------+-------+---+-----------+-------------------------------+
//	|                           sequence                            |
//	+---------------------------------------------------------------+
//	|  link (8)     |    link number, lower 56 bits (Repaired only) |
//	|                                                               |
//	+---------------------------------------------------------------+
type PacketHeader struct {
	Flags     Flags
	Numbering Numbering
	Class     uint8  // traffic class, 0..63
	Bucket    uint16 // flow bucket
	Sequence  uint32
	// Of a Repaired packet: where it was lost.
	LostLink   core.LinkID
	LostNumber uint64 // modulo 2^56
}

// Append writes the header to dst.
func (h PacketHeader) Append(dst []byte) []byte {
	dst = append(dst, byte(KindPacket)|byte(h.Flags&0x0f), byte(h.Numbering)<<6|h.Class&0x3f)
	dst = binary.BigEndian.AppendUint16(dst, h.Bucket)
	dst = binary.BigEndian.AppendUint32(dst, h.Sequence)
	if h.Flags&Repaired != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.LostLink)<<56|h.LostNumber&(1<<56-1))
	}
	return dst
}

// ParsePacket reads the header of a body of KindPacket and returns the inner
// packet behind it, which is not checked.
func ParsePacket(body []byte) (PacketHeader, []byte, error) {
	if len(body) < PacketHeaderLen {
		return PacketHeader{}, nil, ErrShort
	}
	h := PacketHeader{
		Flags:     Flags(body[0] & 0x0f),
		Numbering: Numbering(body[1] >> 6),
		Class:     body[1] & 0x3f,
		Bucket:    binary.BigEndian.Uint16(body[2:]),
		Sequence:  binary.BigEndian.Uint32(body[4:]),
	}
	if h.Numbering > PerBucket {
		return PacketHeader{}, nil, ErrReserved
	}
	rest := body[PacketHeaderLen:]
	if h.Flags&Repaired != 0 {
		if len(rest) < repairLen {
			return PacketHeader{}, nil, ErrShort
		}
		v := binary.BigEndian.Uint64(rest)
		h.LostLink, h.LostNumber = core.LinkID(v>>56), v&(1<<56-1)
		rest = rest[repairLen:]
	}
	if len(rest) == 0 {
		return PacketHeader{}, nil, ErrShort
	}
	return h, rest, nil
}
