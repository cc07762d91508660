package hostnet

import (
	"fmt"
	"net/netip"
	"slices"
)

// ApplyServer makes the host forward for its clients. Either all of the plan is
// in force afterwards, or, with an error, nothing of it. Warnings tells about
// firewalls of the host that forwarded packets will not pass.
func (h *Host) ApplyServer(p ServerPlan) error {
	if err := p.validate(); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.ready(p.TUN); err != nil {
		return err
	}
	drops, err := foreignDrops(tableName(p.TUN))
	if err != nil {
		return err
	}
	changes, err := h.serverChanges(p)
	if err != nil {
		return err
	}
	if err := h.apply(changes); err != nil {
		return err
	}
	for _, chain := range drops {
		h.env.warn("chain %s drops forwarded packets it does not accept: accept those from and to %s there", chain, p.TUN)
	}
	return nil
}

func (h *Host) serverChanges(p ServerPlan) ([]change, error) {
	e := h.env
	var err error
	if p.Addresses, err = e.usable(p.TUN, p.Addresses); err != nil {
		return nil, err
	}
	changes := []change{
		&nftChange{Table: tableName(p.TUN), Guard: len(p.Masquerade) > 0, Adopted: len(h.changes) > 0, fill: serverTable(p)},
		&tunChange{Name: p.TUN, MTU: p.MTU},
	}
	for _, prefix := range p.Addresses {
		changes = append(changes, &addressChange{TUN: p.TUN, Prefix: prefix, OwnRoute: true})
	}
	for _, family := range e.families() {
		if slices.ContainsFunc(p.Addresses, func(a netip.Prefix) bool { return familyOf(a.Addr()) == family }) {
			changes = append(changes, &forwardingChange{Family: family, Uplink: p.Uplink})
		}
	}
	return changes, nil
}

// usable leaves out IPv6 addresses where IPv6 is turned off. At least one
// address has to remain.
func (e *env) usable(tun string, addresses []netip.Prefix) ([]netip.Prefix, error) {
	var usable []netip.Prefix
	for _, prefix := range addresses {
		if prefix.Addr().Is6() && !e.ipv6On(tun) {
			e.warn("IPv6 is turned off on this host: %v is not used", prefix)
			continue
		}
		usable = append(usable, prefix)
	}
	if len(usable) == 0 {
		return nil, fmt.Errorf("hostnet: the tunnel has only IPv6 addresses (%v), and IPv6 is turned off on this host: %w",
			addresses[0], ErrPlan)
	}
	return usable, nil
}
