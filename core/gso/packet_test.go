package gso

import (
	"encoding/binary"
	"net/netip"
)

// segment describes a packet for the tests to build.
type segment struct {
	v6       bool
	udp      bool
	src, dst netip.Addr // documentation addresses when not set
	sport    uint16
	tos      byte
	ttl      byte
	id       uint16
	flags    uint16 // IPv4 flags and fragment offset
	seq, ack uint32
	tcp      byte // TCP flags
	window   uint16
	options  []byte
	payload  []byte
	partial  bool
}

func (s segment) build() []byte {
	header := tcpLen + len(s.options)
	protocol := byte(ProtocolTCP)
	if s.udp {
		header, protocol = udpLen, ProtocolUDP
	}
	ip := s.ip(protocol, header+len(s.payload))
	p := append(ip, make([]byte, header)...)
	t := p[len(ip):]
	binary.BigEndian.PutUint16(t, 40000+s.sport)
	binary.BigEndian.PutUint16(t[2:], 443)
	at := 16
	if s.udp {
		at = 6
		binary.BigEndian.PutUint16(t[4:], uint16(udpLen+len(s.payload)))
	} else {
		binary.BigEndian.PutUint32(t[4:], s.seq)
		binary.BigEndian.PutUint32(t[8:], s.ack)
		t[12] = byte(header/4) << 4
		t[13] = s.tcp
		binary.BigEndian.PutUint16(t[14:], s.window)
		copy(t[tcpLen:], s.options)
	}
	p = append(p, s.payload...)
	t = p[len(ip):]
	pseudo := naivePseudo(p)
	if s.partial {
		binary.BigEndian.PutUint16(t[at:], naiveFold(pseudo))
	} else {
		check := ^naiveFold(naiveSum(t) + pseudo)
		if check == 0 {
			check = 0xffff
		}
		binary.BigEndian.PutUint16(t[at:], check)
	}
	return p
}

func (s segment) ip(protocol byte, length int) []byte {
	src, dst := s.src, s.dst
	if s.v6 {
		if !src.IsValid() {
			src, dst = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8:ffff::2")
		}
		ip := make([]byte, ipv6Len)
		ip[0], ip[1] = 0x60, s.tos
		binary.BigEndian.PutUint16(ip[4:], uint16(length))
		ip[6], ip[7] = protocol, 64-s.ttl
		copy(ip[8:], src.AsSlice())
		copy(ip[24:], dst.AsSlice())
		return ip
	}
	if !src.IsValid() {
		src, dst = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.255")
	}
	ip := make([]byte, ipv4Len)
	ip[0], ip[1] = 0x45, s.tos
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Len+length))
	binary.BigEndian.PutUint16(ip[4:], s.id)
	binary.BigEndian.PutUint16(ip[6:], s.flags)
	ip[8], ip[9] = 64-s.ttl, protocol
	copy(ip[12:], src.AsSlice())
	copy(ip[16:], dst.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^naiveFold(naiveSum(ip)))
	return ip
}

// The sums below are written as RFC 1071 puts it, to check the fast ones.

func naiveSum(b []byte) uint64 {
	var acc uint64
	for i, x := range b {
		if i%2 == 0 {
			acc += uint64(x) << 8
		} else {
			acc += uint64(x)
		}
	}
	return acc
}

func naiveFold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

func naivePseudo(p []byte) uint64 {
	if p[0]>>4 == 6 {
		return naiveSum(p[8:40]) + uint64(p[6]) + uint64(len(p)-ipv6Len)
	}
	return naiveSum(p[12:20]) + uint64(p[9]) + uint64(len(p)-ipv4Len)
}

// naiveValid checks every length and checksum of a complete packet.
func naiveValid(p []byte) bool {
	at := ipv6Len
	if p[0]>>4 == 4 {
		at = ipv4Len
		if naiveFold(naiveSum(p[:at])) != 0xffff || int(binary.BigEndian.Uint16(p[2:])) != len(p) {
			return false
		}
	} else if int(binary.BigEndian.Uint16(p[4:])) != len(p)-ipv6Len {
		return false
	}
	return naiveFold(naiveSum(p[at:])+naivePseudo(p)) == 0xffff
}

func bytesUpTo(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}
