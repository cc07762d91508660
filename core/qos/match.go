package qos

import "encoding/binary"

// IP protocol numbers.
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// Rules are rules in force, in order. The zero value and nil have none.
type Rules struct {
	rules []Rule
	hits  []uint64
	ranks bool // a rule gives a priority other than the lowest
}

// New puts a checked list of rules into force.
func New(rules []Rule) *Rules {
	r := &Rules{rules: rules, hits: make([]uint64, len(rules))}
	for _, rule := range rules {
		r.ranks = r.ranks || rule.verdict.Priority < Lowest
	}
	return r
}

// Len is the number of rules.
func (r *Rules) Len() int {
	if r == nil {
		return 0
	}
	return len(r.rules)
}

// Ranks tells whether there is a rule with a priority above the lowest: without
// one there are no priorities.
func (r *Rules) Ranks() bool { return r != nil && r.ranks }

// Hits returns how many packets each rule has matched.
func (r *Rules) Hits() []uint64 {
	if r == nil {
		return nil
	}
	return append([]uint64(nil), r.hits...)
}

// Match returns what the rules say of an inner packet that goes in a direction.
// It must begin with an IP header; of a super-packet the headers are looked at.
func (r *Rules) Match(p []byte, d Direction) Verdict {
	if r.Len() == 0 {
		return Verdict{Priority: Lowest}
	}
	s, ok := look(p, d)
	if ok {
		for i := range r.rules {
			if rule := &r.rules[i]; rule.directions&d != 0 && rule.fits(&s) {
				r.hits[i]++
				return rule.verdict
			}
		}
	}
	return Verdict{Priority: Lowest}
}

// subject is what rules look at in a packet.
type subject struct {
	remote   address
	port     uint16 // 0: none
	protocol uint8
	dscp     int8
}

func (m *Rule) fits(s *subject) bool {
	switch {
	case m.dscp >= 0 && m.dscp != s.dscp,
		m.protocol != 0 && m.protocol != s.protocol,
		m.icmp && s.protocol != protocolICMP && s.protocol != protocolICMPv6,
		m.low != 0 && (s.port < m.low || s.port > m.high):
		return false
	}
	return m.family == 0 || m.family == s.remote.family &&
		(s.remote.high^m.remote.high)&m.mask.high == 0 && (s.remote.low^m.remote.low)&m.mask.low == 0
}

// address is an IP address in a form that compares fast.
type address struct {
	family    uint8  // 4 or 6; 0: any
	high, low uint64 // IPv4: high is 0
}

func addressOf(b []byte) address {
	if len(b) == 4 {
		return address{4, 0, uint64(binary.BigEndian.Uint32(b))}
	}
	return address{6, binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// compile prepares the address of a rule for comparing.
func (r *Rule) compile() {
	if !r.prefix.IsValid() {
		return
	}
	a := r.prefix.Addr()
	r.remote = addressOf(a.AsSlice())
	r.family = r.remote.family
	bits := r.prefix.Bits() + 128 - a.BitLen()
	r.mask.high = ^uint64(0) << max(0, 64-bits)
	r.mask.low = ^uint64(0) << min(64, 128-bits)
}

// look reads what rules look at; ok is false where there is no IP header.
func look(p []byte, d Direction) (s subject, ok bool) {
	if len(p) < 20 {
		return s, false
	}
	var transport []byte
	switch p[0] >> 4 {
	case 4:
		ihl := int(p[0]&0x0f) * 4
		if ihl < 20 || ihl > len(p) {
			return s, false
		}
		s.dscp, s.protocol = int8(p[1]>>2), p[9]
		at := 16
		if d == Down {
			at = 12
		}
		s.remote = addressOf(p[at : at+4])
		if binary.BigEndian.Uint16(p[6:])&0x1fff == 0 { // the first fragment has the ports
			transport = p[ihl:]
		}
	case 6:
		if len(p) < 40 {
			return s, false
		}
		s.dscp = int8((p[0]&0x0f)<<2 | p[1]>>6)
		at := 24
		if d == Down {
			at = 8
		}
		s.remote = addressOf(p[at : at+16])
		s.protocol, transport = skipExtensions(p[6], p[40:])
	default:
		return s, false
	}
	if (s.protocol == protocolTCP || s.protocol == protocolUDP) && len(transport) >= 4 {
		at := 2
		if d == Down {
			at = 0
		}
		s.port = binary.BigEndian.Uint16(transport[at:])
	}
	return s, true
}

// maxExtensions bounds the extension headers that are walked.
const maxExtensions = 8

// skipExtensions walks IPv6 extension headers (RFC 8200, section 4) and returns
// the protocol behind them and what it says, nil where that cannot be seen.
func skipExtensions(next uint8, b []byte) (protocol uint8, rest []byte) {
	const (
		hopByHop = 0
		routing  = 43
		fragment = 44
		options  = 60
	)
	for range maxExtensions {
		if next != hopByHop && next != routing && next != fragment && next != options {
			return next, b
		}
		if len(b) < 8 {
			return next, nil
		}
		length := (int(b[1]) + 1) * 8
		if next == fragment {
			length = 8
			if binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				return b[0], nil // not the first
			}
		}
		if length > len(b) {
			return b[0], nil
		}
		next, b = b[0], b[length:]
	}
	return next, nil
}
