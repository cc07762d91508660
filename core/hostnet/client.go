package hostnet

import (
	"fmt"
	"net/netip"
	"slices"
)

// ApplyClient makes the host use the tunnel. Either all of the plan is in
// force afterwards, or, with an error, nothing of it. ErrTaken says that a
// number or name of the plan belongs to somebody else. Warnings tells about
// firewalls of the host that stop links from working.
func (h *Host) ApplyClient(p ClientPlan) error {
	if err := p.validate(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.ready(p.TUN); err != nil {
		return err
	}
	if err := h.env.checkFree(p); err != nil {
		return err
	}
	changes, err := h.clientChanges(p)
	if err != nil {
		return err
	}
	filters, err := strictFilters(tableName(p.TUN))
	if err != nil {
		h.env.warn("cannot look for reverse path filters in the host's firewall: %v", err)
	}
	if err := h.apply(changes); err != nil {
		return err
	}
	for _, chain := range filters {
		h.env.warn("chain %s drops packets that do not come in by the interface of the best route back (a strict reverse path filter): "+
			"only one link will work in that family; of firewalld, set IPv6_rpfilter=loose in /etc/firewalld/firewalld.conf", chain)
	}
	h.client = p
	return nil
}

// clientChanges lists what a client's plan needs, in an order in which no
// packet leaves past a kill switch, on the way in or out.
func (h *Host) clientChanges(p ClientPlan) ([]change, error) {
	e := h.env
	var err error
	if p.Addresses, err = e.usable(p.TUN, p.Addresses); err != nil {
		return nil, err
	}
	changes := []change{
		&nftChange{Table: tableName(p.TUN), Guard: p.KillSwitch, Adopted: len(h.changes) > 0, fill: clientTable(p)},
		&sysctlChange{Key: "net/ipv4/conf/all/src_valid_mark", Value: "1"},
	}
	for _, name := range p.Links {
		c, err := e.looseReversePath(name)
		if err != nil {
			return nil, err
		}
		if c != nil {
			changes = append(changes, c)
		}
	}
	changes = append(changes, &tunChange{Name: p.TUN, MTU: p.MTU})
	for _, prefix := range p.Addresses {
		changes = append(changes, &addressChange{TUN: p.TUN, Prefix: prefix})
	}
	changes = append(changes, clientRouting(p, e.families(), func(family int) bool {
		return slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return familyOf(a.Addr()) == family })
	})...)
	if len(p.DNS) > 0 {
		c, err := e.dnsChange(p.TUN, p.DNS, p.ResolvConf)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// SetLinks says which interfaces the tunnel uses from now on. Names that do
// not exist (any more) are no error.
func (h *Host) SetLinks(names []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.applied && !h.guarded || h.closed || h.client.TUN == "" {
		return fmt.Errorf("hostnet: set links of %s without a client's plan: %w", h.env.owner.TUN, ErrState)
	}
	if err := validateLinks(names, h.client.TUN); err != nil {
		return err
	}
	unlock, err := lockState(h.env.stateDir)
	if err != nil {
		return err
	}
	defer unlock()
	if h.client.KillSwitch {
		if err := replaceLinks(h.client.TUN, names); err != nil {
			return err
		}
	}
	if !h.applied {
		return nil
	}
	return h.loosenOnly(names)
}

// loosenOnly puts the reverse path filter back on interfaces that are no links
// any more, and loosens it on those that are.
func (h *Host) loosenOnly(names []string) error {
	for _, c := range slices.Clone(h.changes) {
		s, ok := c.(*sysctlChange)
		if !ok || s.Link == 0 {
			continue
		}
		if !slices.Contains(names, s.Name) || h.env.linkIndex(s.Name) != s.Link {
			if err := h.drop(s); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		c, err := h.env.looseReversePath(name)
		if err != nil {
			return err
		}
		if c == nil || slices.ContainsFunc(h.changes, func(other change) bool {
			s, ok := other.(*sysctlChange)
			return ok && s.Key == c.Key
		}) {
			continue
		}
		if err := h.make(c); err != nil {
			return err
		}
	}
	return nil
}
