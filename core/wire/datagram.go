// Package wire is the format of the tunnel's datagrams. Control messages,
// which travel over TLS, are in package control.
//
// A datagram is a header in the clear, authenticated as additional data, and
// a sealed body:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------+-----------------------------------------------+
//	|     type      |                   zero                        |
//	+---------------+-----------------------------------------------+
//	|                        receiver index                         |
//	+---------------------------------------------------------------+
//	|                                                               |
//	+                     link number (64 bits)                     +
//	|                                                               |
//	+---------------------------------------------------------------+
//	|                     sealed body ... tag (16)                  |
//
// The body is one inner packet, or half of one, behind a PacketHeader, or a
// series of frames. Parsers here take anything: bad input is an error value, never a
// panic.
package wire

import (
	"encoding/binary"
	"errors"

	"github.com/multilink-vpn/multilink/core"
)

// DatagramType is the first byte of a datagram.
type DatagramType uint8

// Data is the only datagram type: a sealed body. Others are dropped. Its
// value is outside the ranges of RFC 7983, so that the tunnel's port could be
// shared with STUN or DTLS.
const Data DatagramType = 0xd1

// Sizes in bytes. They make an inner packet of DefaultMTU bytes fill a sealed
// plaintext of 1408 bytes, a multiple of 128, which AES-GCM in Go seals up to
// 15 % faster per byte than other lengths.
const (
	HeaderLen = 16 // datagram header
	TagLen    = 16 // authentication tag
	UDPLen    = 8
	ipv4Len   = 20
	ipv6Len   = 40
	// Overhead is what the tunnel adds to an inner packet, up to and without
	// the outer IP header.
	Overhead = UDPLen + HeaderLen + PacketHeaderLen + TagLen
	// MaxBody is the largest plaintext that fits a full outer packet over IPv6.
	MaxBody = core.FullPacket - ipv6Len - UDPLen - HeaderLen - TagLen
	// DefaultMTU is the inner MTU: with a PacketHeader it is 1408 bytes. The
	// 12 bytes left below MaxBody are room for a Repair in the header.
	DefaultMTU = 1408 - PacketHeaderLen
	// MaxMTU is the largest inner MTU whose repairs still fit.
	MaxMTU = MaxBody - PacketHeaderLen - RepairLen
	// MinMTU is what IPv6 demands of every link (RFC 8200, section 5).
	MinMTU = 1280
)

// OuterLen is what the outer headers, IP and UDP, add to a datagram, in bytes.
func OuterLen(v4 bool) int {
	if v4 {
		return ipv4Len + UDPLen
	}
	return ipv6Len + UDPLen
}

// The ways in which a datagram or its body can be malformed.
var (
	ErrShort    = errors.New("wire: truncated")
	ErrType     = errors.New("wire: unknown datagram type")
	ErrReserved = errors.New("wire: reserved bits set")
	ErrKind     = errors.New("wire: unknown body kind")
	ErrFrame    = errors.New("wire: malformed frame")
)

// Header is the clear part of a datagram.
type Header struct {
	// Receiver is the index under which the receiver knows this link.
	Receiver uint32
	// Number is the datagram's number on its link and direction. It is the
	// nonce, so it never repeats under a key.
	Number uint64
}

// Append writes the header to dst.
func (h Header) Append(dst []byte) []byte {
	dst = append(dst, byte(Data), 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, h.Receiver)
	return binary.BigEndian.AppendUint64(dst, h.Number)
}

// ParseHeader reads the header of a datagram that is long enough to hold a
// body of one byte.
func ParseHeader(d []byte) (Header, error) {
	if len(d) < HeaderLen+TagLen+1 {
		return Header{}, ErrShort
	}
	if DatagramType(d[0]) != Data {
		return Header{}, ErrType
	}
	if d[1]|d[2]|d[3] != 0 {
		return Header{}, ErrReserved
	}
	return Header{
		Receiver: binary.BigEndian.Uint32(d[4:]),
		Number:   binary.BigEndian.Uint64(d[8:]),
	}, nil
}

// Kind is the upper half of a body's first byte.
type Kind uint8

// The kinds of body.
const (
	KindPacket Kind = 1 << 4
	KindFrames Kind = 2 << 4
	KindFirst  Kind = 3 << 4 // half of a packet, see Part
	KindSecond Kind = 4 << 4
)

// BodyKind tells what a body holds.
func BodyKind(body []byte) (Kind, error) {
	if len(body) == 0 {
		return 0, ErrShort
	}
	switch k := Kind(body[0] & 0xf0); k {
	case KindPacket, KindFrames, KindFirst, KindSecond:
		return k, nil
	}
	return 0, ErrKind
}
