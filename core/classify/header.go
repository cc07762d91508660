package classify

import (
	"encoding/binary"
	"net/netip"

	"github.com/multilink-vpn/multilink/core/gso"
)

// endpoint is an address and a port, in a form that compares fast.
type endpoint struct {
	hi, lo uint64 // IPv4: hi is 0
	port   uint16
}

// less orders endpoints.
func (a endpoint) less(b endpoint) bool {
	switch {
	case a.hi != b.hi:
		return a.hi < b.hi
	case a.lo != b.lo:
		return a.lo < b.lo
	}
	return a.port < b.port
}

// addrPort returns the endpoint in the standard library's form.
func (a endpoint) addrPort(v6 bool) netip.AddrPort {
	if !v6 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(a.lo))
		return netip.AddrPortFrom(netip.AddrFrom4(b), a.port)
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrPortFrom(netip.AddrFrom16(b), a.port)
}

// header is what the flow table reads of a packet.
type header struct {
	src, dst endpoint
	protocol uint8
	v6       bool
	payload  int // offset of the UDP payload; of TCP: of its header
}

// maxExtensions bounds the IPv6 extension headers that are walked.
const maxExtensions = 8

// parse reads the headers of a TCP or UDP packet. ok is false for other
// protocols, for fragments and for what is cut short.
func (h *header) parse(p []byte) (ok bool) {
	offset := 0
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		offset = int(p[0]&0x0f) * 4
		if offset < 20 || binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
			return false
		}
		h.v6, h.protocol = false, p[9]
		h.src = endpoint{lo: uint64(binary.BigEndian.Uint32(p[12:]))}
		h.dst = endpoint{lo: uint64(binary.BigEndian.Uint32(p[16:]))}
	case len(p) >= 40 && p[0]>>4 == 6:
		if h.protocol, offset = upper(p); offset < 0 {
			return false
		}
		h.v6 = true
		h.src = endpoint{hi: binary.BigEndian.Uint64(p[8:]), lo: binary.BigEndian.Uint64(p[16:])}
		h.dst = endpoint{hi: binary.BigEndian.Uint64(p[24:]), lo: binary.BigEndian.Uint64(p[32:])}
	default:
		return false
	}
	switch {
	case h.protocol == gso.ProtocolUDP && len(p) >= offset+8:
		h.payload = offset + 8
	case h.protocol == gso.ProtocolTCP && len(p) >= offset+20:
		h.payload = offset
	default:
		return false
	}
	h.src.port = binary.BigEndian.Uint16(p[offset:])
	h.dst.port = binary.BigEndian.Uint16(p[offset+2:])
	return true
}

// Protocol returns the number of the protocol that a valid IP packet carries,
// behind the extension headers of IPv6; 0 where those hide it, as in a fragment.
func Protocol(p []byte) uint8 {
	if p[0]>>4 == 4 {
		return p[9]
	}
	protocol, _ := upper(p)
	return protocol
}

// upper walks the extension headers of an IPv6 packet to the transport header
// (RFC 8200, section 4) and returns its protocol and offset; the offset is
// negative when there is none to be read.
func upper(p []byte) (protocol uint8, offset int) {
	const hopByHop, routing, fragment, options, authentication = 0, 43, 44, 60, 51
	protocol, offset = p[6], 40
	for range maxExtensions {
		length := 0
		switch protocol {
		default:
			return protocol, offset
		case fragment:
			return 0, -1
		case hopByHop, routing, options, authentication:
			if len(p) < offset+8 {
				return 0, -1
			}
			length = (int(p[offset+1]) + 1) * 8
			if protocol == authentication { // RFC 4302 counts in words
				length = (int(p[offset+1]) + 2) * 4
			}
		}
		protocol, offset = p[offset], offset+length
	}
	return 0, -1
}
