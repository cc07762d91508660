package qos

import "fmt"

// RuleError says which rule of a list is wrong.
type RuleError struct {
	Index int // from 0
	Err   error
}

func (e *RuleError) Error() string { return fmt.Sprintf("rule %d: %v", e.Index+1, e.Err) }
func (e *RuleError) Unwrap() error { return e.Err }

// ParseAll reads a list of rules and checks it. Its error is a *RuleError, or
// says that there are too many.
func ParseAll(texts []Text) ([]Rule, error) {
	if len(texts) > MaxRules {
		return nil, fmt.Errorf("%d rules: at most %d", len(texts), MaxRules)
	}
	rules := make([]Rule, 0, len(texts))
	for i, t := range texts {
		r, err := Parse(t)
		if err == nil {
			err = r.shadowedBy(rules)
		}
		if err != nil {
			return nil, &RuleError{i, err}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// shadowedBy says which of the rules before it let nothing through to a rule.
// Several that only do so together are found when each leaves out a direction.
func (r Rule) shadowedBy(before []Rule) error {
	left := r.directions
	by := -1
	for i, b := range before {
		if part := left & b.directions; part != 0 && b.covers(r.match) {
			left &^= part
			by = i
		}
		if left == 0 {
			break
		}
	}
	if left != 0 {
		return nil
	}
	b := before[by]
	if b.match == r.match && b.verdict != r.verdict {
		return fmt.Errorf("contradicts rule %d (%v), which matches the same packets: remove one of them", by+1, b)
	}
	return fmt.Errorf("can never match: rule %d (%v) takes all its packets first: put this one above it, or remove it", by+1, b)
}

// covers tells whether every packet of o, in the directions of both, is one of m.
func (m match) covers(o match) bool {
	switch {
	case m.prefix.IsValid() && (!o.prefix.IsValid() || m.prefix.Bits() > o.prefix.Bits() || !m.prefix.Contains(o.prefix.Addr())):
		return false
	case m.low != 0 && (o.low < m.low || o.high > m.high):
		return false
	case m.dscp >= 0 && m.dscp != o.dscp:
		return false
	}
	return m.protocol == 0 && !m.icmp || m.protocol == o.protocol && m.icmp == o.icmp ||
		m.icmp && (o.protocol == protocolICMP || o.protocol == protocolICMPv6)
}
