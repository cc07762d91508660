package wire

import (
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core"
)

// PacketHeaderLen is the length of a PacketHeader without a repair.
const PacketHeaderLen = 8

// RepairLen is what a repair adds to a PacketHeader: the link and 56 bits of its number.
const RepairLen = 8

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

// Buckets is the number of flow buckets. Bucket Unordered holds what is never
// put in order; flows share the others by hash.
const (
	Buckets   = 256
	Unordered = 0
)

// Part says which halves of an inner packet a body carries. A packet is split
// where its link does not carry it whole, always in the same place, so that its
// halves may go over different links and be repaired alone.
type Part uint8

// The parts. They are sets: Whole is both halves.
const (
	FirstHalf Part = 1 << iota
	SecondHalf
	Whole = FirstHalf | SecondHalf
)

// kind is that of the body. The zero Part is Whole.
func (p Part) kind() Kind {
	switch p {
	case FirstHalf:
		return KindFirst
	case SecondHalf:
		return KindSecond
	}
	return KindPacket
}

// Of cuts the part out of a packet: the first half is the longer one where the
// length is odd.
func (p Part) Of(packet []byte) []byte {
	half := (len(packet) + 1) / 2
	switch p {
	case FirstHalf:
		return packet[:half]
	case SecondHalf:
		return packet[half:]
	}
	return packet
}

// PacketHeader precedes an inner packet, or half of one, in a body.
//
//	 0                   1                   2                   3
//	+-------+-------+---------------+-------------------------------+
//	|  kind | flags |    bucket     |        bucket sequence        |
//	+-------+-------+---------------+-------------------------------+
//	|                           sequence                            |
//	+---------------------------------------------------------------+
//	|  lost link    |    lost number, 56 bits                       |
//	+---------------+       (Repaired only)                         |
//	|                                                               |
//	+---------------------------------------------------------------+
//
// Both sequences are given when a packet enters the tunnel's queue, and a
// repair or a copy keeps them. The receiver drops what it has seen by the
// session's sequence; which one it restores order by is its resequencer's
// affair.
type PacketHeader struct {
	Part           Part // Whole where it is 0
	Flags          Flags
	Bucket         uint8
	BucketSequence uint16 // counts the packets of the bucket, modulo 2^16
	Sequence       uint32 // counts the packets of the session, modulo 2^32
	// Of a Repaired packet: where it was lost.
	LostLink   core.LinkID
	LostNumber uint64 // modulo 2^56
}

// Len is the length of the header in bytes.
func (h PacketHeader) Len() int {
	if h.Flags&Repaired != 0 {
		return PacketHeaderLen + RepairLen
	}
	return PacketHeaderLen
}

// Append writes the header to dst.
func (h PacketHeader) Append(dst []byte) []byte {
	dst = append(dst, byte(h.Part.kind())|byte(h.Flags&0x0f), h.Bucket)
	dst = binary.BigEndian.AppendUint16(dst, h.BucketSequence)
	dst = binary.BigEndian.AppendUint32(dst, h.Sequence)
	if h.Flags&Repaired != 0 {
		dst = binary.BigEndian.AppendUint64(dst, uint64(h.LostLink)<<56|h.LostNumber&(1<<56-1))
	}
	return dst
}

// ParsePacket reads the header of a body that is not of KindFrames and returns
// the inner packet, or the half of one, behind it, which is not checked.
func ParsePacket(body []byte) (PacketHeader, []byte, error) {
	if len(body) < PacketHeaderLen {
		return PacketHeader{}, nil, ErrShort
	}
	part := Whole
	switch k, _ := BodyKind(body); k {
	case KindPacket:
	case KindFirst:
		part = FirstHalf
	case KindSecond:
		part = SecondHalf
	default:
		return PacketHeader{}, nil, ErrKind
	}
	h := PacketHeader{
		Part:           part,
		Flags:          Flags(body[0] & 0x0f),
		Bucket:         body[1],
		BucketSequence: binary.BigEndian.Uint16(body[2:]),
		Sequence:       binary.BigEndian.Uint32(body[4:]),
	}
	rest := body[PacketHeaderLen:]
	if h.Flags&Repaired != 0 {
		if len(rest) < RepairLen {
			return PacketHeader{}, nil, ErrShort
		}
		v := binary.BigEndian.Uint64(rest)
		h.LostLink, h.LostNumber = core.LinkID(v>>56), v&(1<<56-1)
		if h.LostLink >= core.MaxLinks {
			return PacketHeader{}, nil, ErrReserved
		}
		rest = rest[RepairLen:]
	}
	if len(rest) == 0 {
		return PacketHeader{}, nil, ErrShort
	}
	return h, rest, nil
}
