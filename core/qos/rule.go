package qos

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// MaxRules bounds the rules in force: each packet may be compared with all.
const MaxRules = 64

// The priorities. What no rule matches has the lowest.
const (
	Highest = 1
	Lowest  = 3
)

// Words of a rule.
const (
	Low = "low" // the only value of Text.Latency

	dirBoth = "both"
	dirUp   = "up"
	dirDown = "down"

	protoICMP = "icmp"
	protoTCP  = "tcp"
	protoUDP  = "udp"
)

// Text is a rule as its user writes it. An empty field matches anything.
type Text struct {
	Address   string `json:"address,omitempty"`   // of the remote end: "192.0.2.1" or "2001:db8::/32"
	Port      string `json:"port,omitempty"`      // of the remote end: "443" or "5000-5999"
	Protocol  string `json:"protocol,omitempty"`  // "tcp", "udp", "icmp" or a number
	DSCP      string `json:"dscp,omitempty"`      // "0".."63", or a name such as "ef", "af41", "cs1"
	Direction string `json:"direction,omitempty"` // "up", "down" or "both"
	Priority  int    `json:"priority,omitempty"`  // 1..3, 1 the highest
	Latency   string `json:"latency,omitempty"`   // "low"
}

// Direction of a packet through the tunnel.
type Direction uint8

// The directions; a rule can be for both.
const (
	Up   Direction = 1 << iota // client to server
	Down                       // server to client
)

// Rule is a parsed Text.
type Rule struct {
	text Text
	match
	verdict Verdict
	family  uint8 // of the prefix, 0 without one, with the prefix as remote/mask
	remote  address
	mask    address
}

// match is which packets a rule is for.
type match struct {
	prefix     netip.Prefix // not valid: any
	low, high  uint16       // ports; 0, 0: any, also where there are none
	protocol   uint8        // 0: any
	icmp       bool         // protocol is that of either family
	dscp       int8         // -1: any
	directions Direction
}

// Verdict is what the rules say of a packet.
type Verdict struct {
	Priority   uint8 // Highest..Lowest
	LowLatency bool
}

// FieldError says which field of a rule is wrong.
type FieldError struct {
	Field string // its name in JSON and in the configuration
	Err   error  // what would be right
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Parse reads a rule. Its error is a *FieldError.
func Parse(t Text) (Rule, error) {
	r := Rule{text: t, match: match{dscp: -1}}
	for _, f := range []struct {
		name  string
		parse func(*Rule) error
	}{
		{"address", (*Rule).parseAddress},
		{"protocol", (*Rule).parseProtocol},
		{"port", (*Rule).parsePort},
		{"dscp", (*Rule).parseDSCP},
		{"direction", (*Rule).parseDirection},
		{"priority", (*Rule).parsePriority},
		{"latency", (*Rule).parseLatency},
	} {
		if err := f.parse(&r); err != nil {
			return Rule{}, &FieldError{f.name, err}
		}
	}
	r.compile()
	return r, nil
}

// Text returns the rule as it was written.
func (r Rule) Text() Text { return r.text }

// String returns the rule in one line: "address 192.0.2.1, port 443: priority 1".
func (r Rule) String() string {
	t := r.text
	var parts []string
	for _, f := range [][2]string{{"address", t.Address}, {"port", t.Port}, {"protocol", t.Protocol}, {"dscp", t.DSCP}, {"direction", t.Direction}} {
		if f[1] != "" {
			parts = append(parts, f[0]+" "+f[1])
		}
	}
	if len(parts) == 0 {
		parts = append(parts, "everything")
	}
	return strings.Join(parts, ", ") + ": " + r.verdict.String()
}

func (v Verdict) String() string {
	if v.LowLatency {
		return "latency low"
	}
	return "priority " + strconv.Itoa(int(v.Priority))
}

func (r *Rule) parseAddress() error {
	s := r.text.Address
	if s == "" {
		return nil
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		r.prefix = netip.PrefixFrom(a, a.BitLen())
		return nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return errors.New(`must be an address or a prefix, such as "192.0.2.1" or "2001:db8::/32"`)
	}
	if p != p.Masked() {
		return fmt.Errorf("has bits behind its length: must be %q, or another length", p.Masked())
	}
	r.prefix = p
	return nil
}

func (r *Rule) parseProtocol() error {
	switch s := r.text.Protocol; s {
	case "":
	case protoTCP:
		r.protocol = 6
	case protoUDP:
		r.protocol = 17
	case protoICMP:
		r.icmp = true
	default:
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil || n == 0 {
			return errors.New(`must be "tcp", "udp", "icmp" or the number of a protocol, 1..255`)
		}
		r.protocol = uint8(n)
	}
	return nil
}

func (r *Rule) parsePort() error {
	s := r.text.Port
	if s == "" {
		return nil
	}
	low, high, isRange := strings.Cut(s, "-")
	if !isRange {
		high = low
	}
	from, err := strconv.ParseUint(low, 10, 16)
	to, err2 := strconv.ParseUint(high, 10, 16)
	if err != nil || err2 != nil || from == 0 {
		return errors.New(`must be a port or a range of ports, 1..65535, such as 443 or "5000-5999"`)
	}
	if to < from {
		return fmt.Errorf("is a range without ports: did you mean \"%d-%d\"?", to, from)
	}
	if r.icmp || r.protocol != 0 && r.protocol != 6 && r.protocol != 17 {
		return fmt.Errorf("can never match: protocol %s has no ports", r.text.Protocol)
	}
	r.low, r.high = uint16(from), uint16(to)
	return nil
}

// dscpNames are the code points of RFC 2474, 2597, 3246, 5865 and 8622.
var dscpNames = map[string]int8{
	"cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56,
	"af11": 10, "af12": 12, "af13": 14, "af21": 18, "af22": 20, "af23": 22,
	"af31": 26, "af32": 28, "af33": 30, "af41": 34, "af42": 36, "af43": 38,
	"ef": 46, "va": 44, "le": 1,
}

func (r *Rule) parseDSCP() error {
	s := r.text.DSCP
	if s == "" {
		return nil
	}
	if n, ok := dscpNames[s]; ok {
		r.dscp = n
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 8)
	if err != nil || n > 63 {
		return errors.New(`must be 0..63, or a name such as "ef", "af41" or "cs1"`)
	}
	r.dscp = int8(n)
	return nil
}

func (r *Rule) parseDirection() error {
	switch r.text.Direction {
	case "", dirBoth:
		r.directions = Up | Down
	case dirUp:
		r.directions = Up
	case dirDown:
		r.directions = Down
	default:
		return errors.New("must be up, down or both")
	}
	return nil
}

func (r *Rule) parsePriority() error {
	n := r.text.Priority
	switch {
	case n == 0 && r.text.Latency == "":
		return errors.New(`is missing: add priority = 1, 2 or 3, or latency = "low"`)
	case n < 0 || n > Lowest:
		return errors.New("must be 1, 2 or 3")
	}
	r.verdict.Priority = uint8(n)
	return nil
}

func (r *Rule) parseLatency() error {
	switch r.text.Latency {
	case "":
		return nil
	case Low:
		if r.text.Priority != 0 {
			return errors.New("contradicts priority: a packet of low latency goes before all priorities; remove one of them")
		}
		r.verdict = Verdict{Priority: Lowest, LowLatency: true}
		return nil
	}
	return errors.New(`must be "low"`)
}
