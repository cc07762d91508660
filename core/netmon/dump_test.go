package netmon

import (
	"net"
	"net/netip"
	"reflect"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func ipNet(t *testing.T, text string) *net.IPNet {
	t.Helper()
	ip, network, err := net.ParseCIDR(text)
	if err != nil {
		t.Fatal(err)
	}
	network.IP = ip
	return network
}

func TestNextHops(t *testing.T) {
	gateway, other := netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("fe80::1")
	hop := func(index int, gw netip.Addr, flags int) *netlink.NexthopInfo {
		return &netlink.NexthopInfo{LinkIndex: index, Gw: gw.AsSlice(), Flags: flags}
	}
	tests := []struct {
		name string
		in   netlink.Route
		want []route
	}{
		{"default", netlink.Route{LinkIndex: 2, Gw: gateway.AsSlice(), Dst: ipNet(t, "0.0.0.0/0"), Priority: 100},
			[]route{{2, true, gateway, true, 100}}},
		{"default without a destination", netlink.Route{LinkIndex: 2, Gw: gateway.AsSlice()}, []route{{2, true, gateway, true, 0}}},
		{"default of a point-to-point interface", netlink.Route{LinkIndex: 2}, []route{{2, true, netip.Addr{}, true, 0}}},
		{"through a gateway", netlink.Route{LinkIndex: 2, Gw: gateway.AsSlice(), Dst: ipNet(t, "198.18.0.0/15")},
			[]route{{2, true, gateway, false, 0}}},
		{"local network", netlink.Route{LinkIndex: 2, Dst: ipNet(t, "192.168.1.0/24")}, nil},
		{"gateway of the other family", netlink.Route{LinkIndex: 2, Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: other.AsSlice()}},
			[]route{{2, true, other, true, 0}}},
		{"several next hops", netlink.Route{MultiPath: []*netlink.NexthopInfo{
			hop(2, gateway, 0), hop(3, netip.Addr{}, 0), hop(4, gateway, unix.RTNH_F_DEAD)}},
			[]route{{2, true, gateway, true, 0}, {3, true, netip.Addr{}, true, 0}}},
		{"dead", netlink.Route{LinkIndex: 2, Gw: gateway.AsSlice(), Flags: unix.RTNH_F_DEAD}, nil},
	}
	for _, test := range tests {
		if got := nextHops(test.in, true); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	const running = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	link := func(index int, name string, flags uint32) netlink.LinkAttrs {
		return netlink.LinkAttrs{Index: index, Name: name, RawFlags: flags, NetNsID: -1}
	}
	member := link(4, "eth1", running)
	member.MasterIndex = 5
	far := link(6, "wlan0", unix.IFF_UP|unix.IFF_LOWER_UP) // dormant
	far.NetNsID = 0
	links := []netlink.Link{
		&netlink.Bridge{LinkAttrs: link(5, "br0", 0)},
		&netlink.Device{LinkAttrs: link(1, "lo", running|unix.IFF_LOOPBACK)},
		&netlink.Device{LinkAttrs: link(2, "eth0", running)},
		&netlink.Tuntap{LinkAttrs: link(3, "tun0", unix.IFF_UP)},
		&netlink.Device{LinkAttrs: member},
		&netlink.Veth{LinkAttrs: far},
	}
	addr := func(text string, flags int) netlink.Addr {
		return netlink.Addr{IPNet: ipNet(t, text), LinkIndex: 2, Flags: flags}
	}
	addrs := []netlink.Addr{
		addr("192.168.1.20/24", 0), addr("192.168.1.3/24", unix.IFA_F_SECONDARY), addr("169.254.7.7/16", 0),
		addr("10.0.0.1/8", unix.IFA_F_DEPRECATED), addr("fe80::2/64", 0), addr("2001:db8::2/64", unix.IFA_F_TEMPORARY),
		addr("fd00::2/64", 0), addr("2001:db8::3/64", unix.IFA_F_TENTATIVE), addr("2001:db8::4/64", unix.IFA_F_DADFAILED),
		addr("ff02::1/64", 0), {LinkIndex: 2}, {IPNet: ipNet(t, "127.0.0.1/8"), LinkIndex: 1},
		{IPNet: ipNet(t, "10.9.9.9/8"), LinkIndex: 99}, // gone between the dumps
	}
	gateway4, gateway6 := netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("fe80::1")
	routes := []route{
		{2, true, netip.MustParseAddr("192.168.1.254"), false, 0}, {2, true, gateway4, true, 100},
		{4, false, gateway6, false, 0}, {99, true, gateway4, true, 0},
	}
	parse := func(texts ...string) []netip.Addr {
		var list []netip.Addr
		for _, text := range texts {
			list = append(list, netip.MustParseAddr(text))
		}
		return list
	}
	want := []Interface{
		{Name: "lo", Index: 1, Up: true, Carrier: true, Kind: "loopback"},
		{Name: "eth0", Index: 2, Up: true, Carrier: true, Kind: "device",
			Addrs4: parse("192.168.1.3", "192.168.1.20"), Addrs6: parse("2001:db8::2", "fd00::2"), HasRoute4: true, Gateway4: gateway4},
		{Name: "tun0", Index: 3, Up: true, Kind: "tun"},
		{Name: "eth1", Index: 4, Up: true, Carrier: true, Kind: "device", Master: "br0", MasterKind: "bridge", HasRoute6: true},
		{Name: "br0", Index: 5, Kind: "bridge"},
		{Name: "wlan0", Index: 6, Up: true, Kind: "veth", PeerElsewhere: true},
	}
	got := describe(links, addrs, routes)
	for i := range want {
		if i >= len(got) || !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("interface %d is\n%+v\nwant\n%+v", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d interfaces, want %d", len(got), len(want))
	}
}
