package netmon

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/hostnet/nlretry"
)

// dump reads all interfaces of the namespace that h belongs to, sorted by
// index.
func dump(h *netlink.Handle) ([]Interface, error) {
	links, err := nlretry.Dump(h.LinkList)
	if err != nil {
		return nil, fmt.Errorf("netmon: list interfaces: %w", err)
	}
	var addrs []netlink.Addr
	var routes []route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := nlretry.Dump(func() ([]netlink.Addr, error) { return h.AddrList(nil, family) })
		if err != nil {
			return nil, fmt.Errorf("netmon: list addresses: %w", err)
		}
		addrs = append(addrs, list...)
		leading, err := nlretry.Dump(func() ([]route, error) { return leadingRoutes(h, family) })
		if err != nil {
			return nil, fmt.Errorf("netmon: list routes: %w", err)
		}
		routes = append(routes, leading...)
	}
	return describe(links, addrs, routes), nil
}

// route is one way by one interface beyond the local network.
type route struct {
	index   int // of the interface
	v4      bool
	gateway netip.Addr // invalid without one
	isAny   bool       // a default route
	metric  int
}

// leadingRoutes picks from the main table, which may hold the whole Internet,
// while it is read: default routes and those through a gateway, one for each
// interface and kind.
func leadingRoutes(h *netlink.Handle, family int) ([]route, error) {
	var routes []route
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, Type: unix.RTN_UNICAST}
	err := h.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_TYPE, func(r netlink.Route) bool {
		for _, leading := range nextHops(r, family == netlink.FAMILY_V4) {
			at := slices.IndexFunc(routes, func(other route) bool {
				return other.index == leading.index && other.isAny == leading.isAny
			})
			switch {
			case at < 0:
				routes = append(routes, leading)
			case leading.metric < routes[at].metric:
				routes[at] = leading
			}
		}
		return true
	})
	return routes, err
}

// nextHops lists the ways of one route that lead beyond the local network.
func nextHops(r netlink.Route, v4 bool) []route {
	isAny := r.Dst == nil
	if !isAny {
		bits, _ := r.Dst.Mask.Size()
		isAny = bits == 0
	}
	hops := []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw, Via: r.Via, Flags: r.Flags}}
	if len(r.MultiPath) > 0 {
		hops = r.MultiPath
	}
	var routes []route
	for _, hop := range hops {
		gateway := gatewayOf(hop)
		if hop.Flags&unix.RTNH_F_DEAD != 0 || (!isAny && !gateway.IsValid()) {
			continue
		}
		routes = append(routes, route{hop.LinkIndex, v4, gateway, isAny, r.Priority})
	}
	return routes
}

// gatewayOf returns the next hop, which may be of the other family (RFC 8950),
// or the zero Addr.
func gatewayOf(hop *netlink.NexthopInfo) netip.Addr {
	if via, ok := hop.Via.(*netlink.Via); ok && via != nil {
		return toAddr(via.Addr)
	}
	return toAddr(hop.Gw)
}

func toAddr(ip net.IP) netip.Addr {
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}

// describe joins what the kernel told.
func describe(links []netlink.Link, addrs []netlink.Addr, routes []route) []Interface {
	byIndex := map[int]netlink.Link{}
	for _, link := range links {
		byIndex[link.Attrs().Index] = link
	}
	var ifs []Interface
	for _, link := range links {
		i := describeLink(link, byIndex)
		for _, addr := range addrs {
			if addr.LinkIndex == i.Index {
				i.addAddress(addr)
			}
		}
		slices.SortFunc(i.Addrs4, netip.Addr.Compare)
		slices.SortFunc(i.Addrs6, netip.Addr.Compare)
		for _, r := range routes {
			if r.index == i.Index {
				i.addRoute(r)
			}
		}
		ifs = append(ifs, i)
	}
	slices.SortFunc(ifs, func(a, b Interface) int { return cmp.Compare(a.Index, b.Index) })
	return ifs
}

func describeLink(link netlink.Link, byIndex map[int]netlink.Link) Interface {
	const passes = unix.IFF_RUNNING | unix.IFF_LOWER_UP
	attrs := link.Attrs()
	i := Interface{
		Name: attrs.Name, Index: attrs.Index, Kind: kindOf(link),
		Up:            attrs.RawFlags&unix.IFF_UP != 0,
		Carrier:       attrs.RawFlags&passes == passes,
		PeerElsewhere: attrs.NetNsID >= 0,
	}
	if master := byIndex[attrs.MasterIndex]; attrs.MasterIndex != 0 && master != nil {
		i.Master, i.MasterKind = master.Attrs().Name, kindOf(master)
	}
	return i
}

func kindOf(link netlink.Link) string {
	switch {
	case link.Attrs().RawFlags&unix.IFF_LOOPBACK != 0:
		return "loopback"
	case link.Type() == "tuntap":
		return "tun" // as the kernel calls it
	case link.Type() == "":
		return "device"
	}
	return link.Type()
}

// addAddress keeps an address that can be a source.
func (i *Interface) addAddress(a netlink.Addr) {
	const unusable = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
	if a.IPNet == nil || a.Flags&unusable != 0 {
		return
	}
	addr := toAddr(a.IP)
	if !addr.IsGlobalUnicast() { // true of private and unique local ones too
		return
	}
	if addr.Is4() {
		i.Addrs4 = append(i.Addrs4, addr)
	} else {
		i.Addrs6 = append(i.Addrs6, addr)
	}
}

func (i *Interface) addRoute(r route) {
	has, gateway := &i.HasRoute6, &i.Gateway6
	if r.v4 {
		has, gateway = &i.HasRoute4, &i.Gateway4
	}
	*has = true
	if r.isAny {
		*gateway = r.gateway
	}
}
