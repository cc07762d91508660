package gso

import "errors"

// What can be wrong with the headers of a packet.
var (
	ErrShort    = errors.New("gso: packet is shorter than its headers")
	ErrVersion  = errors.New("gso: not an IPv4 or IPv6 packet")
	ErrProtocol = errors.New("gso: not TCP or UDP directly over IP")
	ErrFragment = errors.New("gso: packet is a fragment")
	ErrLength   = errors.New("gso: a length field contradicts the packet's length")
	ErrSegment  = errors.New("gso: impossible segment size")
	ErrOffset   = errors.New("gso: checksum lies outside the packet")
)
