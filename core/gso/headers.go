package gso

import "encoding/binary"

// IP protocol numbers of the transports known here.
const (
	ProtocolTCP = 6
	ProtocolUDP = 17
)

// MaxPacket is the greatest length of an IP packet, in bytes.
const MaxPacket = 65535

const (
	ipv4Len = 20 // IPv4 header without options
	ipv6Len = 40
	tcpLen  = 20 // TCP header without options
	udpLen  = 8

	ipv4MoreFragments  = 0x2000
	ipv4DontFragment   = 0x4000
	ipv4FragmentOffset = 0x1fff
)

// TCP flags, byte 13 of the header.
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagPSH = 0x08
	flagACK = 0x10
	flagCWR = 0x80
)

// Headers says where the headers of a packet are.
type Headers struct {
	V6       bool
	Protocol uint8 // ProtocolTCP or ProtocolUDP
	// Transport is the offset of the TCP or UDP header in the packet, and so
	// the place from which its checksum is computed.
	Transport int
	// Len is the length of the IP and the transport header together.
	Len int
	// Total is the packet's length as its IP header gives it.
	Total int
}

// ChecksumOffset is the offset of the checksum field in the transport header.
func (h Headers) ChecksumOffset() int {
	if h.Protocol == ProtocolTCP {
		return 16
	}
	return 6
}

// ParseHeaders finds the headers of a TCP or UDP packet that is not a
// fragment and has no IPv6 extension header. It checks that they lie within
// p, and nothing else: h.Total may contradict len(p).
func ParseHeaders(p []byte) (h Headers, err error) {
	if len(p) == 0 {
		return h, ErrShort
	}
	switch p[0] >> 4 {
	case 4:
		h, err = parseIPv4(p)
	case 6:
		h, err = parseIPv6(p)
	default:
		return h, ErrVersion
	}
	if err != nil {
		return h, err
	}
	transport, err := transportLen(p[h.Transport:], h.Protocol)
	h.Len = h.Transport + transport
	return h, err
}

func parseIPv4(p []byte) (Headers, error) {
	if len(p) < ipv4Len {
		return Headers{}, ErrShort
	}
	h := Headers{
		Protocol:  p[9],
		Transport: int(p[0]&0x0f) * 4,
		Total:     int(binary.BigEndian.Uint16(p[2:])),
	}
	if h.Transport < ipv4Len || h.Transport > len(p) {
		return h, ErrShort
	}
	if binary.BigEndian.Uint16(p[6:])&(ipv4MoreFragments|ipv4FragmentOffset) != 0 {
		return h, ErrFragment
	}
	return h, nil
}

func parseIPv6(p []byte) (Headers, error) {
	if len(p) < ipv6Len {
		return Headers{}, ErrShort
	}
	return Headers{
		V6:        true,
		Protocol:  p[6],
		Transport: ipv6Len,
		Total:     ipv6Len + int(binary.BigEndian.Uint16(p[4:])),
	}, nil
}

// transportLen returns the length of the transport header that t begins with.
func transportLen(t []byte, protocol uint8) (int, error) {
	switch protocol {
	case ProtocolUDP:
		if len(t) < udpLen {
			return 0, ErrShort
		}
		return udpLen, nil
	case ProtocolTCP:
		if len(t) < tcpLen {
			return 0, ErrShort
		}
		n := int(t[12]>>4) * 4
		if n < tcpLen || n > len(t) {
			return 0, ErrShort
		}
		return n, nil
	}
	return 0, ErrProtocol
}
