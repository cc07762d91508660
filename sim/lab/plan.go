package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// A topology, from left to right; each word is a network namespace:
//
//	client ══ middle ══ nat-0 ── internet ── server
//	       ══        ══ nat-1 ──          ── host-1
//	                                      ── host-2
//
// The double lines are the links' impaired stretches. The client's interfaces
// have the links' names. Hosts know no way to the tunnel's addresses: what
// comes through the tunnel reaches them masqueraded as the server's, what
// comes past it as the NAT router's.

// Addresses that every topology has.
var (
	server4, server6 = netip.MustParsePrefix("192.0.2.2/24"), netip.MustParsePrefix("2001:db8:ffff::2/64")
	uplink4, uplink6 = netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("2001:db8:ffff::1/64")
	// hostGateway is the router that both hosts see, on a cable of its own each.
	hostGateway4, hostGateway6 = netip.MustParseAddr("198.18.0.254"), netip.MustParseAddr("fd00:198:18::fe")
)

// serverName is the server's name in the client's hosts file; it has all
// addresses of the underlay.
const serverName = "server.test"

// serverPort is where the server listens.
const serverPort = 5410

// hosts is how many hosts there are behind the server.
const hosts = 2

// hostAddress returns the address of host 1 or 2.
func hostAddress(host, family int) netip.Addr {
	if family == 4 {
		return netip.AddrFrom4([4]byte{198, 18, 0, byte(host)})
	}
	return netip.MustParseAddr(fmt.Sprintf("fd00:198:18::%d", host))
}

// families are the address families of an underlay.
func families(u scenario.Underlay) []int {
	switch u {
	case scenario.Underlay6:
		return []int{6}
	case scenario.UnderlayBoth:
		return []int{4, 6}
	}
	return []int{4}
}

// names are the namespaces of a run.
type names struct{ id string }

func (n names) prefix() string       { return "mls-" + n.id }
func (n names) client() string       { return n.prefix() + "-client" }
func (n names) middle() string       { return n.prefix() + "-middle" }
func (n names) router(i int) string  { return fmt.Sprintf("%s-nat-%d", n.prefix(), i) }
func (n names) internet() string     { return n.prefix() + "-internet" }
func (n names) server() string       { return n.prefix() + "-server" }
func (n names) host(host int) string { return fmt.Sprintf("%s-host-%d", n.prefix(), host) }

// all lists the namespaces for so many links.
func (n names) all(links int) []string {
	list := []string{n.client(), n.middle(), n.internet(), n.server()}
	for host := 1; host <= hosts; host++ {
		list = append(list, n.host(host))
	}
	for i := range links {
		list = append(list, n.router(i))
	}
	return list
}

// network is a subnet between two machines, of one family.
type network struct {
	// near is the client's or the router's end, far the one towards the
	// internet.
	near, far netip.Prefix
}

// lan is link i's subnet between client and NAT router in one family. Each
// generation is another subnet: what a client sees that moves to another
// network.
func lan(i, generation, family int) network {
	if family == 4 {
		return network{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i), byte(generation), 2}), 24),
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i), byte(generation), 1}), 24),
		}
	}
	return network{
		netip.MustParsePrefix(fmt.Sprintf("fd10:%x:%x::2/64", i, generation)),
		netip.MustParsePrefix(fmt.Sprintf("fd10:%x:%x::1/64", i, generation)),
	}
}

// maxGenerations bounds the subnets of a link.
const maxGenerations = 256

// wan is the subnet between link i's NAT router and the internet.
func wan(i, family int) network {
	if family == 4 {
		return network{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(4*i + 2)}), 30),
			netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(4*i + 1)}), 30),
		}
	}
	return network{
		netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::2/64", i)),
		netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::1/64", i)),
	}
}

// The hardware addresses of link i's stretch. They are known beforehand so
// that neighbours can be told of each other: address resolution would go
// through the impairments, and a black hole behind the gateway, which is what
// a blackhole stands for, would become one in front of it.
func clientMAC(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, byte(i), 1} }
func routerMAC(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, byte(i), 2} }

// The ports of link i in the middle namespace.
func clientSide(i int) string { return fmt.Sprintf("client%d", i) }
func serverSide(i int) string { return fmt.Sprintf("server%d", i) }

// defaultRoutes are both families' destination of a default route.
var defaultRoutes = map[int]netip.Prefix{4: netip.MustParsePrefix("0.0.0.0/0"), 6: netip.MustParsePrefix("::/0")}

// linkMetric is the metric of the default route by link i: the first link is
// the one an ordinary program would use.
func linkMetric(i int) int { return 100 + i }
