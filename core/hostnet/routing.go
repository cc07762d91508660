package hostnet

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/hostnet/nlretry"
)

const (
	ruleCount    = 3     // rule numbers in a row that a client uses
	mainPriority = 32766 // of the kernel's own rule for main
)

// families lists the address families this kernel has.
func (e *env) families() []int {
	if _, err := os.Stat(filepath.Join(e.sysctlDir, "net/ipv6")); err != nil {
		return []int{netlink.FAMILY_V4}
	}
	return []int{netlink.FAMILY_V4, netlink.FAMILY_V6}
}

func familyName(family int) string {
	if family == netlink.FAMILY_V4 {
		return "IPv4"
	}
	return "IPv6"
}

// defaultOf returns the prefix that holds a whole family.
func defaultOf(family int) netip.Prefix {
	if family == netlink.FAMILY_V4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// routeChange adds a route to the client's table: through the TUN device, or
// to nowhere for a family that the tunnel does not carry.
type routeChange struct {
	Table       int          `json:"table"`
	Prefix      netip.Prefix `json:"prefix"`
	TUN         string       `json:"tun,omitempty"`
	Index       int          `json:"index,omitempty"`
	Unreachable bool         `json:"unreachable,omitempty"`
}

func (c *routeChange) kind() string   { return "route" }
func (c *routeChange) outlives() bool { return false }

func (c *routeChange) String() string {
	if c.Unreachable {
		return fmt.Sprintf("route unreachable %v table %d", c.Prefix, c.Table)
	}
	return fmt.Sprintf("route %v dev %s table %d", c.Prefix, c.TUN, c.Table)
}

func (c *routeChange) route() *netlink.Route {
	r := &netlink.Route{
		Table: c.Table, Dst: toIPNet(c.Prefix), Family: familyOf(c.Prefix.Addr()),
		Protocol: unix.RTPROT_STATIC, Type: unix.RTN_UNICAST, LinkIndex: c.Index,
	}
	switch {
	case c.Unreachable:
		r.Type = unix.RTN_UNREACHABLE
	case c.Prefix.Addr().Is4():
		r.Scope = unix.RT_SCOPE_LINK
	}
	return r
}

func (c *routeChange) prepare(e *env) (bool, error) {
	if c.Unreachable {
		return true, nil
	}
	link, err := e.device(c.TUN)
	if err != nil {
		return false, err
	}
	c.Index = link.Attrs().Index
	return true, nil
}

func (c *routeChange) do(e *env) error {
	if err := e.nl.RouteAdd(c.route()); err != nil {
		return fmt.Errorf("hostnet: add %v: %w", c, err)
	}
	return nil
}

func (c *routeChange) undo(e *env) (outcome, error) {
	err := e.nl.RouteDel(c.route())
	if isGone(err) {
		return gone, nil
	}
	if err != nil {
		return gone, fmt.Errorf("hostnet: remove %v: %w", c, err)
	}
	return undone, nil
}

// ruleChange adds one rule of those drawn in the package's comment.
type ruleChange struct {
	Family   int `json:"family"` // AF_INET or AF_INET6
	Priority int `json:"priority"`
	Table    int `json:"table"`
	// To limits the rule to a destination; invalid for all.
	To netip.Prefix `json:"to"`
	// NotMark excepts packets of that mark; 0 for none.
	NotMark uint32 `json:"not_mark,omitempty"`
	// SuppressDefault makes the rule ignore default routes.
	SuppressDefault bool `json:"suppress_default,omitempty"`
}

func (c *ruleChange) kind() string   { return "rule" }
func (c *ruleChange) outlives() bool { return false }

func (c *ruleChange) String() string {
	text := fmt.Sprintf("%s rule %d:", familyName(c.Family), c.Priority)
	if c.To.IsValid() {
		text += fmt.Sprintf(" to %v", c.To)
	}
	if c.NotMark != 0 {
		text += fmt.Sprintf(" not fwmark %d", c.NotMark)
	}
	text += fmt.Sprintf(" lookup %d", c.Table)
	if c.SuppressDefault {
		text += " suppress_prefixlength 0"
	}
	return text
}

func (c *ruleChange) rule() *netlink.Rule {
	r := netlink.NewRule()
	r.Family = c.Family
	r.Priority = c.Priority
	r.Table = c.Table
	if c.To.IsValid() {
		r.Dst = toIPNet(c.To)
	}
	if c.NotMark != 0 {
		r.Mark = c.NotMark
		r.Invert = true
	}
	if c.SuppressDefault {
		r.SuppressPrefixlen = 0
	}
	return r
}

func (c *ruleChange) prepare(*env) (bool, error) { return true, nil }

func (c *ruleChange) do(e *env) error {
	if err := e.nl.RuleAdd(c.rule()); err != nil {
		return fmt.Errorf("hostnet: add %v: %w", c, err)
	}
	return nil
}

func (c *ruleChange) undo(e *env) (outcome, error) {
	err := e.nl.RuleDel(c.rule())
	if isGone(err) {
		return gone, nil
	}
	if err != nil {
		return gone, fmt.Errorf("hostnet: remove %v: %w", c, err)
	}
	return undone, nil
}

// clientRouting lists the routes and rules of a client for the families the
// host has. Those in which the tunnel has no address are unreachable. Rules
// come last: until then no packet meets the table.
func clientRouting(p ClientPlan, families []int, carried func(family int) bool) []change {
	var changes []change
	for _, prefix := range tunnelPrefixes(p) {
		family := familyOf(prefix.Addr())
		switch {
		case !slices.Contains(families, family):
		case carried(family):
			changes = append(changes, &routeChange{Table: p.Table, Prefix: prefix, TUN: p.TUN})
		default:
			changes = append(changes, &routeChange{Table: p.Table, Prefix: prefix, Unreachable: true})
		}
	}
	for _, prefix := range unique(p.Exclude) {
		if family := familyOf(prefix.Addr()); slices.Contains(families, family) {
			changes = append(changes, &ruleChange{
				Family: family, Priority: p.Priority, To: prefix, Table: unix.RT_TABLE_MAIN,
			})
		}
	}
	for _, family := range families {
		changes = append(changes,
			&ruleChange{Family: family, Priority: p.Priority + 1, Table: unix.RT_TABLE_MAIN, SuppressDefault: true},
			&ruleChange{Family: family, Priority: p.Priority + 2, Table: p.Table, NotMark: p.Mark})
	}
	return changes
}

// tunnelPrefixes lists what a client's table leads into the tunnel: with a
// choice of prefixes also the name servers, which are reached through it.
func tunnelPrefixes(p ClientPlan) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, address := range p.Addresses {
		prefixes = append(prefixes, address.Masked())
	}
	if p.Default {
		return unique(append(prefixes, defaultOf(netlink.FAMILY_V4), defaultOf(netlink.FAMILY_V6)))
	}
	prefixes = append(prefixes, p.Include...)
	for _, server := range p.DNS {
		prefixes = append(prefixes, netip.PrefixFrom(server, server.BitLen()))
	}
	return unique(prefixes)
}

// unique returns the distinct prefixes, sorted.
func unique(prefixes []netip.Prefix) []netip.Prefix {
	sorted := slices.Clone(prefixes)
	slices.SortFunc(sorted, netip.Prefix.Compare)
	return slices.Compact(sorted)
}

// checkFree returns ErrTaken when the plan's table, rule numbers or mark are
// in use by anybody.
func (e *env) checkFree(p ClientPlan) error {
	for _, family := range e.families() {
		if err := e.checkRules(p, family); err != nil {
			return err
		}
		routes, err := nlretry.Dump(func() ([]netlink.Route, error) {
			return e.nl.RouteListFiltered(family, &netlink.Route{Table: p.Table}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return fmt.Errorf("hostnet: %s routes of table %d: %w", familyName(family), p.Table, err)
		}
		if len(routes) > 0 {
			return fmt.Errorf("hostnet: routing table %d holds %d other %s routes, choose another table: %w",
				p.Table, len(routes), familyName(family), ErrTaken)
		}
	}
	return nil
}

func (e *env) checkRules(p ClientPlan, family int) error {
	rules, err := nlretry.Dump(func() ([]netlink.Rule, error) { return e.nl.RuleList(family) })
	if err != nil {
		return fmt.Errorf("hostnet: %s rules: %w", familyName(family), err)
	}
	for _, rule := range rules {
		switch {
		case rule.Priority >= p.Priority && rule.Priority < p.Priority+ruleCount:
			return fmt.Errorf("hostnet: %s rule number %d belongs to another program, choose another number than %d: %w",
				familyName(family), rule.Priority, p.Priority, ErrTaken)
		case rule.Table == p.Table:
			return fmt.Errorf("hostnet: routing table %d is used by %s rule %d, choose another table: %w",
				p.Table, familyName(family), rule.Priority, ErrTaken)
		case rule.Mark == p.Mark:
			return fmt.Errorf("hostnet: mark %d is used by %s rule %d, choose another mark: %w",
				p.Mark, familyName(family), rule.Priority, ErrTaken)
		}
	}
	return nil
}
