package virtual

import (
	"fmt"
	"net/netip"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/multilink-vpn/multilink/core"
)

// The machines and their addresses. Those of the hosts are the scenario
// language's, the client's in the tunnel are what a server gives its first
// client. Past the tunnel the client has an address on each link, as in the
// netns backend, but no NAT is in between.
var (
	tunnelAddresses = []netip.Addr{netip.MustParseAddr("10.8.0.2"), netip.MustParseAddr("fd4d:4c::2")}
	tunnelPrefixes  = []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("fd4d:4c::/64")}
	everywhere      = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
)

// hostAddresses are those of host 1 or 2, IPv4 first.
func hostAddresses(host int) []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{198, 18, 0, byte(host)}),
		netip.MustParseAddr(fmt.Sprintf("fd00:198:18::%d", host)),
	}
}

var allHostAddresses = [...][]netip.Addr{hostAddresses(1), hostAddresses(2)}

// linkAddresses are the client's on a link, IPv4 first.
func linkAddresses(index int) []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{10, byte(100 + index), 0, 2}),
		netip.MustParseAddr(fmt.Sprintf("fd10:%x::2", index)),
	}
}

// The interfaces of a host. It has the same addresses on both, so its sockets
// must be bound to one: of two interfaces with an address gVisor takes either,
// by the order of a map.
const (
	tunnelNIC   = firstNIC // the client's too
	underlayNIC = firstNIC + 1
)

// linkNIC is the client's interface on a link.
func linkNIC(l *Link) tcpip.NICID { return tunnelNIC + 1 + tcpip.NICID(l.index) }

// newMachines makes the client's host and the two behind the server, and
// connects them with the tunnel and the links.
func (s *Simulation) newMachines() error {
	if err := s.newClientMachine(); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	for i := range s.hosts {
		if err := s.newHost(i); err != nil {
			return fmt.Errorf("host %d: %w", i+1, err)
		}
	}
	s.ends[client].deliver = func(packet []byte) { s.client.inject(tunnelNIC, packet) }
	s.ends[server].deliver = func(packet []byte) { s.toHost(tunnelNIC, packet) }
	return nil
}

func (s *Simulation) newClientMachine() (err error) {
	if s.client, err = s.newMachine("client"); err != nil {
		return err
	}
	if err := s.client.addNIC(s.cfg.MTU, s.ends[client].packets, tunnelAddresses...); err != nil {
		return err
	}
	routes := routesTo(tunnelNIC, everywhere)
	for _, l := range s.links {
		send := func(batch []core.Packet) { l.sendBare(Up, batch) }
		if err := s.client.addNIC(ethernet, send, l.addresses...); err != nil {
			return err
		}
		routes = append(routes, routesTo(linkNIC(l), everywhere)...)
	}
	s.client.stack.SetRouteTable(routes)
	return nil
}

func (s *Simulation) newHost(i int) error {
	h, err := s.newMachine(fmt.Sprintf("host %d", i+1))
	if err != nil {
		return err
	}
	s.hosts[i] = h
	// The MTU towards the tunnel is what path MTU discovery would find.
	if err := h.addNIC(s.cfg.MTU, s.ends[server].packets, hostAddresses(i+1)...); err != nil {
		return err
	}
	if err := h.addNIC(ethernet, s.sendDown, hostAddresses(i+1)...); err != nil {
		return err
	}
	h.stack.SetRouteTable(append(routesTo(tunnelNIC, tunnelPrefixes), routesTo(underlayNIC, everywhere)...))
	return nil
}

func routesTo(id tcpip.NICID, prefixes []netip.Prefix) []tcpip.Route {
	var routes []tcpip.Route
	for _, p := range prefixes {
		subnet := tcpip.AddressWithPrefix{Address: addressOf(p.Addr()), PrefixLen: p.Bits()}.Subnet()
		routes = append(routes, tcpip.Route{Destination: subnet, NIC: id})
	}
	return routes
}

// destination is where an IP packet goes. It is false for what is no IP packet:
// a link can have corrupted it.
func destination(packet []byte) (netip.Addr, bool) {
	switch header.IPVersion(packet) {
	case header.IPv4Version:
		if ip := header.IPv4(packet); ip.IsValid(len(packet)) {
			return netip.AddrFrom4(ip.DestinationAddress().As4()), true
		}
	case header.IPv6Version:
		if ip := header.IPv6(packet); ip.IsValid(len(packet)) {
			return netip.AddrFrom16(ip.DestinationAddress().As16()), true
		}
	}
	return netip.Addr{}, false
}

// toHost hands a packet to the host behind the server that it is for.
func (s *Simulation) toHost(id tcpip.NICID, packet []byte) {
	to, ok := destination(packet)
	for i, addresses := range allHostAddresses {
		if ok && slices.Contains(addresses, to) {
			s.hosts[i].inject(id, packet)
			return
		}
	}
	s.counters.NoRoute++
}

// sendDown sends what a host puts out past the tunnel over the link that has
// the destination.
func (s *Simulation) sendDown(batch []core.Packet) {
	for i, p := range batch {
		to, _ := destination(p.Data)
		at := slices.IndexFunc(s.links, func(l *Link) bool { return slices.Contains(l.addresses, to) })
		if at < 0 {
			s.counters.NoRoute++
			continue
		}
		s.links[at].sendBare(Down, batch[i:i+1])
	}
}

// sendBare sends packets past the tunnel.
func (l *Link) sendBare(d Direction, batch []core.Packet) {
	for _, packet := range batch {
		p := l.sim.newParcel(packet.Data)
		p.link, p.direction, p.size = l, d, len(packet.Data)
		l.send(p)
	}
}

// bare delivers a packet that went past the tunnel.
func (l *Link) bare(p *parcel) {
	switch {
	case !l.attached:
		l.sim.counters.Detached++
	case p.direction == Up:
		l.sim.toHost(underlayNIC, p.data)
	default:
		if to, ok := destination(p.data); ok && slices.Contains(l.addresses, to) {
			l.sim.client.inject(linkNIC(l), p.data)
			return
		}
		l.sim.counters.NoRoute++
	}
}
