package gso

import "encoding/binary"

// TCP option kinds (RFC 9293 3.2).
const (
	optionEnd = 0
	optionNop = 1
	optionMSS = 2

	optionMSSLen = 4
)

// ClampMSS lowers the maximum segment size that a TCP SYN announces to what
// fits packets of mtu bytes (RFC 9293 3.7.1: without IP and TCP options), and
// says whether it did. It never raises it, adds none where there is none, and
// leaves alone what is not a TCP SYN with well-formed options. partial says
// that the packet is Partial: its checksum field does not cover the option
// yet. Otherwise the checksum is updated by RFC 1624, so a wrong one stays
// wrong.
func ClampMSS(p []byte, partial bool, mtu int) bool {
	h, err := ParseHeaders(p)
	if err != nil || h.Protocol != ProtocolTCP {
		return false
	}
	t := p[h.Transport:h.Len]
	if t[13]&flagSYN == 0 {
		return false
	}
	at := findMSS(t)
	if at == 0 {
		return false
	}
	limit := mtu - ipv4Len - tcpLen
	if h.V6 {
		limit = mtu - ipv6Len - tcpLen
	}
	old := binary.BigEndian.Uint16(t[at:])
	if limit <= 0 || int(old) <= limit {
		return false
	}
	binary.BigEndian.PutUint16(t[at:], uint16(limit))
	if !partial {
		UpdateChecksum(t[16:18], old, uint16(limit), at%2 == 1)
	}
	return true
}

// findMSS returns the offset of the MSS option's value in the TCP header t,
// or 0 when there is none or the options before it are malformed.
func findMSS(t []byte) int {
	for i := tcpLen; i < len(t); {
		switch t[i] {
		case optionEnd:
			return 0
		case optionNop:
			i++
			continue
		}
		if i+1 >= len(t) {
			return 0
		}
		n := int(t[i+1])
		if n < 2 || i+n > len(t) {
			return 0
		}
		if t[i] == optionMSS {
			if n != optionMSSLen {
				return 0
			}
			return i + 2
		}
		i += n
	}
	return 0
}

// UpdateChecksum makes the checksum in field follow the change of a 16-bit
// value from old to new: HC' = ~(~HC + ~m + m') (RFC 1624 3). A value at an
// odd offset straddles two words, which adds it with its bytes swapped
// (RFC 1071 2(B)).
func UpdateChecksum(field []byte, old, value uint16, odd bool) {
	if odd {
		old, value = old<<8|old>>8, value<<8|value>>8
	}
	check := binary.BigEndian.Uint16(field)
	acc := uint64(^check) + uint64(^old) + uint64(value)
	binary.BigEndian.PutUint16(field, ^fold(acc))
}
