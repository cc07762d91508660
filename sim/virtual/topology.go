package virtual

import (
	"fmt"
	"net/netip"

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

// linkAddresses are the client's on a link, IPv4 first.
func linkAddresses(index int) []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{10, byte(100 + index), 0, 2}),
		netip.MustParseAddr(fmt.Sprintf("fd10:%x::2", index)),
	}
}

// underlayNIC is the interface of a host that leads past the tunnel.
const underlayNIC = tunnelNIC + 1

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
		if err := s.client.addNIC(ethernet, send, linkAddresses(l.index)...); err != nil {
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

// destination is where an IP packet goes.
func destination(packet []byte) netip.Addr {
	if header.IPVersion(packet) == header.IPv6Version {
		return netip.AddrFrom16([16]byte(packet[24:40]))
	}
	return netip.AddrFrom4([4]byte(packet[16:20]))
}

// toHost hands a packet to the host behind the server that it is for.
func (s *Simulation) toHost(id tcpip.NICID, packet []byte) {
	to := destination(packet)
	for i, h := range s.hosts {
		for _, a := range hostAddresses(i + 1) {
			if a == to {
				h.inject(id, packet)
				return
			}
		}
	}
	s.counters.NoRoute++
}

// sendDown sends what a host puts out past the tunnel over the link that has
// the destination.
func (s *Simulation) sendDown(batch []core.Packet) {
	for i, p := range batch {
		to := destination(p.Data)
		found := false
		for _, l := range s.links {
			for _, a := range linkAddresses(l.index) {
				if a == to {
					l.sendBare(Down, batch[i:i+1])
					found = true
				}
			}
		}
		if !found {
			s.counters.NoRoute++
		}
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
		l.sim.client.inject(linkNIC(l), p.data)
	}
}
