package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// serverAddrs is where the far end of the tests' links answers.
var serverAddrs = prefixes("203.0.113.1/32", "2001:db8:5::1/128")

const echoPort = 5410

// makeOnlineHost makes two links to a namespace that echoes datagrams, with
// a default route over each, and returns that namespace.
func makeOnlineHost(t *testing.T) netns.NsHandle {
	t.Helper()
	enterNamespace(t)
	peer := newPeer(t)
	addTUN(t, testTUN)
	addLink(t, "wlan0", "192.168.1.2/24", "fd01::2/64", 100)
	addLink(t, "wwan0", "192.168.2.2/24", "fd02::2/64", 200)
	for i, name := range []string{"wlan0", "wwan0"} {
		link := linkNamed(t, name+"-p")
		must(t, netlink.LinkSetNsFd(link, int(peer)))
		inside(t, peer, func() {
			setUp(t, link.Attrs().Name)
			for _, text := range []string{fmt.Sprintf("192.168.%d.1/24", i+1), fmt.Sprintf("fd0%d::1/64", i+1)} {
				addAddress(t, link.Attrs().Name, netip.MustParsePrefix(text))
			}
			settle(t, link.Attrs().Name)
		})
		settle(t, name)
	}
	inside(t, peer, func() {
		for _, address := range serverAddrs {
			addAddress(t, "lo", address)
		}
		startEcho(t)
	})
	return peer
}

func addAddress(t *testing.T, name string, prefix netip.Prefix) {
	t.Helper()
	must(t, netlink.AddrAdd(linkNamed(t, name), &netlink.Addr{IPNet: toIPNet(prefix), Flags: unix.IFA_F_NODAD}))
}

// startEcho answers every datagram in the namespace of the calling thread.
func startEcho(t *testing.T) {
	t.Helper()
	for _, address := range serverAddrs {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address.Addr(), echoPort)))
		must(t, err)
		done := make(chan struct{})
		t.Cleanup(func() {
			_ = conn.Close()
			<-done
		})
		go func() {
			defer close(done)
			buffer := make([]byte, 64)
			for {
				n, from, err := conn.ReadFromUDPAddrPort(buffer)
				if err != nil {
					return
				}
				_, _ = conn.WriteToUDPAddrPort(buffer[:n], from)
			}
		}()
	}
}

// exchange sends a datagram by an interface and waits for its echo, or for what
// the kernel says instead.
func exchange(t *testing.T, device string, mark int, to netip.Addr) error {
	t.Helper()
	return exchangeWithin(t, patience, device, mark, to)
}

// exchangeOrSilence is exchange where no answer is expected: replies on veths
// come at once, so half a second of silence (EAGAIN) means there is none. On a
// busy machine it can only err towards silence.
func exchangeOrSilence(t *testing.T, device string, to netip.Addr) error {
	t.Helper()
	return exchangeWithin(t, 500*time.Millisecond, device, 0, to)
}

func exchangeWithin(t *testing.T, limit time.Duration, device string, mark int, to netip.Addr) error {
	t.Helper()
	family := unix.AF_INET
	if to.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	defer func() { _ = unix.Close(fd) }()
	must(t, unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device))
	if mark != 0 {
		must(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark))
	}
	timeout := unix.NsecToTimeval(int64(limit))
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	// Only a connected socket hears of ICMP errors.
	if err := unix.Connect(fd, socketAddress(to)); err != nil {
		return err
	}
	if _, err := unix.Write(fd, []byte("hello")); err != nil {
		return err
	}
	deadline := time.Now().Add(limit)
	for {
		_, _, err := unix.Recvfrom(fd, make([]byte, 64), 0)
		if !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			return err
		}
	}
}

func socketAddress(to netip.Addr) unix.Sockaddr {
	if to.Is6() {
		return &unix.SockaddrInet6{Port: echoPort, Addr: to.As16()}
	}
	return &unix.SockaddrInet4{Port: echoPort, Addr: to.As4()}
}

// The product's sockets reach the server over each link, whatever the reverse
// path filters of the kernel and of a firewall, also in a family that is
// unreachable for the others.
func TestMarkedTrafficPassesReversePathFilters(t *testing.T) {
	for name, addresses := range map[string][]netip.Prefix{
		"both families": prefixes("10.8.0.2/24", "fd00:8::2/64"),
		"IPv4":          prefixes("10.8.0.2/24"),
		"IPv6":          prefixes("fd00:8::2/64"),
	} {
		t.Run(name, func(t *testing.T) {
			makeOnlineHost(t)
			for _, name := range []string{"wlan0", "wwan0"} {
				writeSysctl(t, "net/ipv4/conf/"+name+"/rp_filter", "1")
			}
			firewall(t, false)
			h := open(t, t.TempDir(), testTUN)
			plan := clientPlan(t)
			plan.Addresses = addresses
			must(t, h.ApplyClient(plan))
			defer func() { must(t, h.Undo()) }()
			for _, device := range plan.Links {
				for _, server := range serverAddrs {
					if err := exchange(t, device, DefaultMark, server.Addr()); err != nil {
						t.Errorf("no answer from %v by %s: %v", server, device, err)
					}
				}
			}
		})
	}
}

// firewall drops IPv6 packets from where nothing can be sent, as firewalld does
// with IPv6_rpfilter=loose, or also from where something would be sent by
// another interface, as with IPv6_rpfilter=yes.
func firewall(t *testing.T, strict bool) {
	t.Helper()
	conn, err := nftables.New()
	must(t, err)
	table := conn.AddTable(&nftables.Table{Name: "firewall", Family: nftables.TableFamilyINet})
	chain := conn.AddChain(&nftables.Chain{
		Name: "prerouting", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(10),
	})
	// Neighbour discovery (ICMPv6) is let through first.
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule(
		meta(expr.MetaKeyL4PROTO, expr.CmpOpEq, []byte{unix.IPPROTO_ICMPV6}), then(accept()))})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule(
		meta(expr.MetaKeyNFPROTO, expr.CmpOpEq, []byte{unix.NFPROTO_IPV6}),
		[]expr.Any{
			&expr.Fib{Register: 1, ResultOIF: true, FlagSADDR: true, FlagMARK: true, FlagIIF: strict},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
		}, then(drop()))})
	must(t, conn.Flush())
}

func TestClientWarnsOfStrictFilters(t *testing.T) {
	for _, strict := range []bool{false, true} {
		enterNamespace(t)
		makeClientHost(t)
		firewall(t, strict)
		h := open(t, t.TempDir(), testTUN)
		must(t, h.ApplyClient(clientPlan(t)))
		warned := slices.ContainsFunc(h.Warnings(), func(text string) bool {
			return strings.Contains(text, "chain prerouting of table inet firewall") && strings.Contains(text, "IPv6_rpfilter=loose")
		})
		if warned != strict {
			t.Errorf("strict %v, warnings %q", strict, h.Warnings())
		}
		must(t, h.Undo())
	}
}

func TestKillSwitch(t *testing.T) {
	makeOnlineHost(t)
	h := open(t, t.TempDir(), testTUN)
	plan := clientPlan(t)
	plan.Links = []string{"wlan0"}
	plan.Exclude = prefixes("192.168.2.0/24")
	must(t, h.ApplyClient(plan))
	check := func(when string, leaks bool) {
		t.Helper()
		for _, server := range serverAddrs {
			err := exchange(t, "wlan0", 0, server.Addr())
			if leaked := err == nil; leaked != leaks {
				t.Errorf("%s: unmarked datagram to %v past the tunnel: %v", when, server, err)
			}
			if err := exchange(t, "wlan0", DefaultMark, server.Addr()); err != nil {
				t.Errorf("%s: marked datagram to %v: %v", when, server, err)
			}
		}
	}
	check("applied", false)
	if err := exchange(t, "wwan0", 0, netip.MustParseAddr("192.168.2.1")); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("excluded destination: %v, want it to be reached and refused", err)
	}
	if err := exchange(t, "wlan0", 0, netip.MustParseAddr("192.168.1.1")); !errors.Is(err, unix.EPERM) {
		t.Errorf("local network: %v, want %v", err, unix.EPERM)
	}
	if err := exchange(t, "lo", 0, netip.MustParseAddr("127.0.0.1")); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("loopback: %v, want it to be reached and refused", err)
	}

	// The process dies; its device goes with it. The next one takes over
	// without a gap, up to the end of its own claim.
	kill(t, h)
	must(t, netlink.LinkDel(linkNamed(t, testTUN)))
	check("killed", false)
	next := open(t, h.env.stateDir, testTUN)
	if len(next.Recovered()) == 0 {
		t.Error("nothing was recovered")
	}
	check("opened again", false)
	addTUN(t, testTUN)
	bad := plan
	bad.ResolvConf = "/nonexistent/resolv.conf"
	if err := next.ApplyClient(bad); err == nil {
		t.Error("a resolver file in no directory was written")
	}
	check("failed to apply", false)
	must(t, next.ApplyClient(plan))
	check("applied again", false)
	must(t, next.Undo())
	check("undone", true)
}

// A kill switch holds before there is a tunnel, while another plan takes the
// place of one, and after the process has died, before and after that.
func TestGuard(t *testing.T) {
	makeOnlineHost(t)
	plan := clientPlan(t)
	plan.Links = []string{"wlan0"}
	guard := ClientPlan{TUN: testTUN, Mark: plan.Mark, Exclude: plan.Exclude, KillSwitch: true}
	must(t, netlink.LinkDel(linkNamed(t, testTUN)))
	h := open(t, t.TempDir(), testTUN)
	wantError(t, h.SetLinks(nil), ErrState)
	check := func(when string, leaks bool) {
		t.Helper()
		for _, server := range serverAddrs {
			if err := exchange(t, "wlan0", 0, server.Addr()); (err == nil) != leaks {
				t.Errorf("%s: unmarked datagram to %v past the tunnel: %v", when, server, err)
			}
			if err := exchange(t, "wlan0", DefaultMark, server.Addr()); err != nil {
				t.Errorf("%s: marked datagram to %v: %v", when, server, err)
			}
		}
	}
	check("before", true)
	must(t, h.Guard(guard))
	check("guarded", false)
	must(t, h.SetLinks([]string{"wlan0", "wwan0"}))
	must(t, h.Withdraw()) // of nothing
	check("guarded with links", false)

	kill(t, h)
	h = open(t, h.env.stateDir, testTUN)
	check("killed and opened again", false)
	must(t, h.Guard(guard))
	check("guarded again", false)
	addTUN(t, testTUN)
	must(t, h.ApplyClient(plan))
	check("applied", false)
	wantError(t, h.Guard(guard), ErrState)
	must(t, h.Withdraw())
	check("withdrawn", false)
	if routeTo(t, "198.51.100.1", 0, "") == testTUN {
		t.Error("withdrawn, and the route is still there")
	}
	plan.Addresses = prefixes("10.9.0.7/24", "fd00:9::7/64")
	must(t, h.ApplyClient(plan))
	check("applied with other addresses", false)
	must(t, h.Undo())
	check("undone", true)
	if left, err := journals(h.env.stateDir); err != nil || len(left) > 0 {
		t.Errorf("journals %v (%v) left", left, err)
	}
}

func TestGuardRefusals(t *testing.T) {
	enterNamespace(t)
	h := open(t, t.TempDir(), testTUN)
	for _, p := range []ClientPlan{
		{TUN: testTUN, Mark: 1}, {TUN: testTUN, KillSwitch: true}, {TUN: "other0", Mark: 1, KillSwitch: true},
		{TUN: testTUN, Mark: 1, KillSwitch: true, Links: []string{"no/name"}},
	} {
		wantError(t, h.Guard(p), ErrPlan)
	}
	must(t, h.Undo())
}

// What others send through this host must not leave past the tunnel either.
func TestKillSwitchStopsForwarding(t *testing.T) {
	peer := makeOnlineHost(t)
	guest := newPeer(t)
	connect(t, guest, "guest0", "192.168.9.1/24", "192.168.9.2/24")
	inside(t, peer, func() {
		must(t, netlink.RouteAdd(&netlink.Route{Dst: toIPNet(prefixes("192.168.9.0/24")[0]), Gw: net.ParseIP("192.168.1.2")}))
	})
	writeSysctl(t, "net/ipv4/ip_forward", "1")
	forwarded := func(exchange func() error) error {
		var err error
		inside(t, guest, func() { err = exchange() })
		return err
	}
	answer := func() error { return exchange(t, "uplink", 0, serverAddrs[0].Addr()) }
	must(t, forwarded(answer))
	h := open(t, t.TempDir(), testTUN)
	plan := clientPlan(t)
	plan.Exclude = nil
	must(t, h.ApplyClient(plan))
	must(t, netlink.LinkDel(linkNamed(t, testTUN))) // as if the process had died
	if forwarded(func() error { return exchangeOrSilence(t, "uplink", serverAddrs[0].Addr()) }) == nil {
		t.Error("a datagram was forwarded past the tunnel")
	}
	must(t, h.Undo())
	must(t, forwarded(answer))
}

// connect links a namespace by a veth pair: name here, "uplink" with a default
// route there.
func connect(t *testing.T, to netns.NsHandle, name, here, there string) {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "uplink", PeerNamespace: netlink.NsFd(to),
	}))
	addAddress(t, name, netip.MustParsePrefix(here))
	setUp(t, name)
	inside(t, to, func() {
		addAddress(t, "uplink", netip.MustParsePrefix(there))
		setUp(t, "uplink")
		must(t, netlink.RouteAdd(&netlink.Route{
			LinkIndex: linkNamed(t, "uplink").Attrs().Index, Gw: netip.MustParsePrefix(here).Addr().AsSlice(),
		}))
		settle(t, "uplink")
	})
	settle(t, name)
}

// Nobody but the tunnel and this host reaches the tunnel's address.
func TestTunnelAddressCannotBeReachedFromOutside(t *testing.T) {
	makeOnlineHost(t)
	guest := newPeer(t)
	connect(t, guest, "guest0", "192.168.9.1/24", "192.168.9.2/24")
	h := open(t, t.TempDir(), testTUN)
	plan := clientPlan(t)
	plan.KillSwitch = false
	must(t, h.ApplyClient(plan))
	inner := plan.Addresses[0].Addr()
	inside(t, guest, func() {
		if err := exchange(t, "uplink", 0, netip.MustParseAddr("192.168.9.1")); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("the host's own address: %v, want it to be reached and refused", err)
		}
		if err := exchangeOrSilence(t, "uplink", inner); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("the tunnel's address from outside: %v, want silence", err)
		}
	})
	if err := exchange(t, "lo", 0, inner); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the tunnel's address from this host: %v, want it to be reached and refused", err)
	}
	must(t, h.Undo())
}
