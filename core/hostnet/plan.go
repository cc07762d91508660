package hostnet

import (
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Numbers a client uses unless its configuration says otherwise. They are
// values of the product's port, which makes them easy to recognise.
const (
	DefaultMark     = 5410
	DefaultTable    = 5410
	DefaultPriority = 5410 // of the first of three rules
)

// DefaultResolvConf is the resolver configuration of the C library.
const DefaultResolvConf = "/etc/resolv.conf"

// minMTU is what IPv6 asks of every link (RFC 8200 section 5).
const minMTU = 1280

// ClientPlan says what a client needs of its host.
type ClientPlan struct {
	// TUN is the name of the device; it exists already.
	TUN string
	// Addresses of the tunnel on this host, of either family, with the
	// prefix that lies behind the TUN device.
	Addresses []netip.Prefix
	// MTU of the TUN device in bytes.
	MTU int
	// Mark is the fwmark of the product's own sockets, which go past the
	// tunnel. Not zero.
	Mark uint32
	// Table is the routing table for what goes into the tunnel.
	Table int
	// Priority is the number of the first of the three rules in a row.
	Priority int
	// Default sends all traffic through the tunnel that main has no route
	// for more specific than a default route. A family in which the tunnel
	// has no address becomes unreachable rather than leaking past it.
	Default bool
	// Include, without Default, is what goes through the tunnel, under the
	// same condition.
	Include []netip.Prefix
	// Exclude is what main decides about alone.
	Exclude []netip.Prefix
	// KillSwitch rejects what would leave neither through the tunnel nor
	// from a socket of the product, even after the process died: all but
	// loopback, Exclude, and the DHCP and neighbour discovery that keep the
	// links up. The local network is rejected too unless it is in Exclude.
	KillSwitch bool
	// DNS is the list of name servers to ask instead of the host's own.
	DNS []netip.Addr
	// ResolvConf is the resolver file to write where no service manages
	// it; empty for DefaultResolvConf. Any other file is written directly,
	// and no service is asked.
	ResolvConf string
	// Links are the names of the interfaces the tunnel's datagrams go over.
	// SetLinks changes them while the tunnel is up.
	Links []string
}

// ServerPlan says what a server needs of its host.
type ServerPlan struct {
	// TUN is the name of the device; it exists already.
	TUN string
	// Addresses of the server in the tunnel, with the clients' prefix.
	Addresses []netip.Prefix
	// MTU of the TUN device in bytes.
	MTU int
	// Masquerade are the prefixes whose traffic leaves this host under the
	// host's own address. Empty where the pool is routed to this host.
	Masquerade []netip.Prefix
	// Uplink is the only interface to masquerade on; empty for all but the
	// TUN device.
	Uplink string
}

func (p ClientPlan) validate() error {
	if err := validateDevice(p.TUN, p.MTU, p.Addresses); err != nil {
		return err
	}
	switch {
	case p.Mark == 0:
		return fmt.Errorf("hostnet: mark is 0, want any other number: %w", ErrPlan)
	case p.Table <= 0 || slices.Contains([]int{unix.RT_TABLE_DEFAULT, unix.RT_TABLE_MAIN, unix.RT_TABLE_LOCAL}, p.Table):
		return fmt.Errorf("hostnet: routing table %d, want a positive number other than 253, 254 and 255: %w", p.Table, ErrPlan)
	case p.Priority <= 0 || p.Priority+ruleCount > mainPriority:
		return fmt.Errorf("hostnet: rule number %d, want 1 to %d: %w", p.Priority, mainPriority-ruleCount, ErrPlan)
	case p.Default && len(p.Include) > 0:
		return fmt.Errorf("hostnet: included prefixes (%v) have no meaning when everything goes through the tunnel: %w", p.Include[0], ErrPlan)
	}
	for _, prefix := range slices.Concat(p.Include, p.Exclude) {
		if !prefix.IsValid() || prefix != prefix.Masked() {
			return fmt.Errorf("hostnet: %v is not a network prefix, want %v: %w", prefix, prefix.Masked(), ErrPlan)
		}
	}
	for _, server := range p.DNS {
		if !server.IsValid() || server.Zone() != "" {
			return fmt.Errorf("hostnet: name server %v, want an address without a zone: %w", server, ErrPlan)
		}
	}
	return validateLinks(p.Links, p.TUN)
}

func (p ServerPlan) validate() error {
	if err := validateDevice(p.TUN, p.MTU, p.Addresses); err != nil {
		return err
	}
	for _, prefix := range p.Masquerade {
		if !prefix.IsValid() || prefix != prefix.Masked() {
			return fmt.Errorf("hostnet: %v is not a network prefix, want %v: %w", prefix, prefix.Masked(), ErrPlan)
		}
	}
	if p.Uplink != "" {
		return validateLinks([]string{p.Uplink}, p.TUN)
	}
	return nil
}

func validateDevice(tun string, mtu int, addresses []netip.Prefix) error {
	if !validInterfaceName(tun) {
		return fmt.Errorf("hostnet: TUN device %q, want a name of 1 to 15 characters: %w", tun, ErrPlan)
	}
	if mtu < minMTU || mtu > 65535 {
		return fmt.Errorf("hostnet: MTU %d, want %d to 65535: %w", mtu, minMTU, ErrPlan)
	}
	if len(addresses) == 0 {
		return fmt.Errorf("hostnet: no tunnel address: %w", ErrPlan)
	}
	for _, prefix := range addresses {
		if !prefix.IsValid() || prefix.Addr().Is4In6() || prefix.Bits() == 0 {
			return fmt.Errorf("hostnet: tunnel address %v, want an address with its prefix: %w", prefix, ErrPlan)
		}
	}
	return nil
}

func validateLinks(links []string, tun string) error {
	for _, name := range links {
		if !validInterfaceName(name) || name == tun {
			return fmt.Errorf("hostnet: link %q, want the name of another interface than the TUN device: %w", name, ErrPlan)
		}
	}
	return nil
}
