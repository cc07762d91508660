package meter

import (
	"encoding/binary"
	"net/netip"
)

// protocolTCP is the protocol number of TCP in IP headers.
const protocolTCP = 6

// ParseTCP reads a TCP segment from the start of its IP packet, which may be
// cut off after the TCP header. Fragments and IPv6 extension headers are not
// followed. The segment is taken for one packet.
func ParseTCP(ip []byte) (Flow, Segment, bool) {
	var f Flow
	var s Segment
	source, destination, header, length, ok := parseIP(ip)
	if !ok || len(ip) < header+20 {
		return f, s, false
	}
	tcp := ip[header:]
	offset := int(tcp[12]>>4) * 4
	if offset < 20 || header+offset > length || len(tcp) < offset {
		return f, s, false
	}
	f.Source = netip.AddrPortFrom(source, binary.BigEndian.Uint16(tcp))
	f.Destination = netip.AddrPortFrom(destination, binary.BigEndian.Uint16(tcp[2:]))
	s.Sequence = binary.BigEndian.Uint32(tcp[4:])
	s.Payload = length - header - offset
	s.Packets = 1
	s.SYN = tcp[13]&0x02 != 0
	s.Stamp, s.Stamped = tcpTimestamp(tcp[20:offset])
	return f, s, true
}

// parseIP returns the addresses of an IP packet that carries TCP, the size of
// its header and its length.
func parseIP(ip []byte) (source, destination netip.Addr, header, length int, ok bool) {
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		header = int(ip[0]&0x0f) * 4
		length = int(binary.BigEndian.Uint16(ip[2:]))
		fragment := binary.BigEndian.Uint16(ip[6:])&0x3fff != 0
		ok = header >= 20 && header <= length && ip[9] == protocolTCP && !fragment
		return netip.AddrFrom4([4]byte(ip[12:])), netip.AddrFrom4([4]byte(ip[16:])), header, length, ok
	case len(ip) >= 40 && ip[0]>>4 == 6:
		length = 40 + int(binary.BigEndian.Uint16(ip[4:]))
		ok = ip[6] == protocolTCP
		return netip.AddrFrom16([16]byte(ip[8:])), netip.AddrFrom16([16]byte(ip[24:])), 40, length, ok
	}
	return source, destination, 0, 0, false
}

// tcpTimestamp finds the value of the timestamps option (RFC 7323 section 3).
func tcpTimestamp(options []byte) (uint32, bool) {
	for len(options) > 0 {
		switch options[0] {
		case 0: // end of the list
			return 0, false
		case 1: // padding
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return 0, false
		}
		if options[0] == 8 && options[1] == 10 {
			return binary.BigEndian.Uint32(options[2:]), true
		}
		options = options[options[1]:]
	}
	return 0, false
}
