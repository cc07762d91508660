// Package netmon watches the host's network interfaces and tells which of them
// can carry a link.
//
// A Monitor listens to the kernel's netlink events about interfaces, addresses
// and routes. An event says only that something changed: what is there is
// always read as a whole, so that a lost event costs a delay (the next poll)
// and never a wrong picture.
//
//	events (or poll) -> a moment's pause -> dump -> differs from the last? -> C
//
// Only that an interface can pass no more packets is looked for before the pause.
//
// Select then applies the user's lists and the built-in exclusions to a
// snapshot. It is a pure function.
package netmon

import "net/netip"

// Interface is what matters about one network interface for a link.
type Interface struct {
	Name    string
	Index   int
	Up      bool // set up by the administrator
	Carrier bool // able to pass packets
	// Addrs4 and Addrs6 are the addresses that can be used as a source to
	// reach the Internet, sorted: without link-local, loopback, tentative,
	// duplicate and deprecated ones.
	Addrs4, Addrs6 []netip.Addr
	// HasRoute4 and HasRoute6 tell whether the main table leads beyond the
	// local network by this interface: a default route, or any route through
	// a gateway.
	HasRoute4, HasRoute6 bool
	// Gateway4 and Gateway6 are the next hops of the best default routes;
	// invalid where there is none, as on point-to-point interfaces.
	Gateway4, Gateway6 netip.Addr
	// Kind is the kernel's name for the driver of a virtual interface
	// (veth, vlan, bridge, wireguard, ...), "tun" for TUN and TAP devices,
	// "loopback", and "device" for hardware.
	Kind string
	// Master is the interface this one is a member of, as of a bridge or
	// bond, and MasterKind its kind.
	Master, MasterKind string
	// PeerElsewhere says that the other end is in another network namespace.
	PeerElsewhere bool
}
