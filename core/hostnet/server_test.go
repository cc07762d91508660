package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func serverPlan() ServerPlan {
	return ServerPlan{
		TUN: testTUN, MTU: 1420, Addresses: prefixes("10.8.0.1/24", "fd00:8::1/64"),
		Masquerade: prefixes("10.8.0.0/24", "fd00:8::/64"),
	}
}

func TestServerAppliesAndUndoes(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	// Values that the kernel overwrites with the switch.
	writeSysctl(t, "net/ipv4/conf/all/accept_redirects", "0")
	writeSysctl(t, "net/ipv4/conf/wwan0/forwarding", "1")
	writeSysctl(t, "net/ipv6/conf/wwan0/forwarding", "1")
	writeSysctl(t, "net/ipv6/conf/wlan0-p/accept_ra", "0")
	before := snapshot(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyServer(serverPlan()))
	for key, want := range map[string]string{
		"net/ipv4/ip_forward":             "1",
		"net/ipv6/conf/all/forwarding":    "1",
		"net/ipv6/conf/wlan0/accept_ra":   "2",
		"net/ipv6/conf/wlan0-p/accept_ra": "0",
		"net/ipv6/conf/mlt0/accept_ra":    "1",
	} {
		if got := readSysctl(t, key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if got := routeTo(t, "10.8.0.77", 0, ""); got != testTUN {
		t.Errorf("clients are reached by %q, want %s", got, testTUN)
	}
	if warnings := h.Warnings(); len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	must(t, h.Undo())
	wantSame(t, "after undo", before, snapshot(t))
}

func TestServerKeepsWhatTheUserChanged(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyServer(serverPlan()))
	writeSysctl(t, "net/ipv6/conf/wlan0/accept_ra", "0")
	must(t, netlink.LinkSetMTU(linkNamed(t, testTUN), 1300))
	must(t, h.Undo())
	if got := readSysctl(t, "net/ipv6/conf/wlan0/accept_ra"); got != "0" {
		t.Errorf("accept_ra is %s, the user's 0 was overwritten", got)
	}
	if got := readSysctl(t, "net/ipv4/ip_forward"); got != "0" {
		t.Errorf("ip_forward is %s, want 0", got)
	}
	if got := linkNamed(t, testTUN).Attrs().MTU; got != 1300 {
		t.Errorf("MTU is %d, the user's 1300 was overwritten", got)
	}
}

// Forwarding belongs to two servers; it ends with the last of them, whichever
// that is, and also when one of them died.
func TestServersShareForwarding(t *testing.T) {
	for _, first := range []int{0, 1} {
		for _, dead := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d ends first, dead %v", first, dead), func(t *testing.T) {
				enterNamespace(t)
				makeClientHost(t)
				addTUN(t, "mlt1")
				before := snapshot(t)
				state := t.TempDir()
				var hosts [2]*Host
				for i, tun := range []string{testTUN, "mlt1"} {
					plan := serverPlan()
					plan.TUN = tun
					plan.Addresses = prefixes(fmt.Sprintf("10.8.%d.1/24", i), fmt.Sprintf("fd00:%d::1/64", i))
					hosts[i] = open(t, state, tun)
					must(t, hosts[i].ApplyServer(plan))
				}
				if dead {
					kill(t, hosts[first])
					_, err := Recover(state)
					must(t, err)
				} else {
					must(t, hosts[first].Undo())
				}
				for _, key := range []string{forward4, forward6} {
					if got := readSysctl(t, key); got != "1" {
						t.Errorf("%s is %s while a server runs", key, got)
					}
				}
				must(t, hosts[1-first].Undo())
				wantSame(t, "after both", before, snapshot(t))
			})
		}
	}
}

// Where the user forwards anyway, it goes on.
func TestServerFindsForwardingOn(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	writeSysctl(t, forward4, "1")
	writeSysctl(t, forward6, "1")
	before := snapshot(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyServer(serverPlan()))
	must(t, h.Undo())
	wantSame(t, "after undo", before, snapshot(t))
}

func TestServerWarnsOfFirewalls(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	conn, err := nftables.New()
	must(t, err)
	policy := nftables.ChainPolicyDrop
	conn.AddChain(&nftables.Chain{
		Name: "FORWARD", Table: conn.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyIPv4}),
		Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &policy,
	})
	must(t, conn.Flush())
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyServer(serverPlan()))
	warnings := h.Warnings()
	if len(warnings) != 1 || !strings.Contains(warnings[0], "FORWARD of table ip filter") || !strings.Contains(warnings[0], testTUN) {
		t.Errorf("warnings: %q", warnings)
	}
	must(t, h.Undo())
}

// A client's packets leave under the server's address, and the answers find
// back; the TUN device is played by a link to another namespace.
func TestServerMasquerades(t *testing.T) {
	for _, uplink := range []string{"", "wlan0"} {
		t.Run("uplink "+uplink, func(t *testing.T) {
			makeOnlineHost(t)
			must(t, netlink.LinkDel(linkNamed(t, testTUN)))
			client := newPeer(t)
			must(t, netlink.LinkAdd(&netlink.Veth{
				LinkAttrs: netlink.LinkAttrs{Name: testTUN}, PeerName: "uplink", PeerNamespace: netlink.NsFd(client),
			}))
			h := open(t, t.TempDir(), testTUN)
			plan := serverPlan()
			plan.Uplink = uplink
			must(t, h.ApplyServer(plan))
			inside(t, client, func() {
				setUp(t, "uplink")
				for _, text := range []string{"10.8.0.2/24", "fd00:8::2/64"} {
					prefix := netip.MustParsePrefix(text)
					addAddress(t, "uplink", prefix)
					must(t, netlink.RouteAdd(&netlink.Route{
						Gw: net.IP(prefix.Masked().Addr().Next().AsSlice()), Dst: toIPNet(defaultOf(familyOf(prefix.Addr()))),
					}))
				}
				settle(t, "uplink")
				for _, server := range serverAddrs {
					if err := exchange(t, "uplink", 0, server.Addr()); err != nil {
						t.Errorf("no answer from %v: %v", server, err)
					}
				}
			})
			must(t, h.Undo())
			inside(t, client, func() {
				if err := exchangeOrSilence(t, "uplink", serverAddrs[0].Addr()); err == nil {
					t.Error("the host still forwards after undo")
				}
			})
		})
	}
}

// What is too long for one client is told to the sender, as long as it is.
func TestServerLimitsMTU(t *testing.T) {
	makeOnlineHost(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyServer(serverPlan()))
	near, far := prefixes("10.8.0.2/32", "fd00:8::2/128"), prefixes("10.8.0.3/32", "fd00:8::3/128")
	send := func(to netip.Addr) error {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
		must(t, err)
		defer func() { _ = conn.Close() }()
		raw, err := conn.SyscallConn()
		must(t, err)
		must(t, raw.Control(func(fd uintptr) { // as a sender that must not fragment
			if to.Is4() {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			} else {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
			}
		}))
		must(t, err)
		_, err = conn.Write(make([]byte, 1300))
		return err
	}
	for i := range near {
		must(t, h.LimitMTU(near[i].Addr(), 1300))
		if err := send(near[i].Addr()); !errors.Is(err, unix.EMSGSIZE) {
			t.Errorf("1300 bytes and headers to %v: %v, want %v", near[i], err, unix.EMSGSIZE)
		}
		must(t, send(far[i].Addr()))
		must(t, h.UnlimitMTU(near[i].Addr()))
		must(t, h.UnlimitMTU(near[i].Addr()))
		must(t, send(near[i].Addr()))
	}
	must(t, h.Undo())
	must(t, h.UnlimitMTU(near[0].Addr()))
	if err := h.LimitMTU(near[0].Addr(), 1300); !errors.Is(err, ErrState) {
		t.Errorf("after undo: %v", err)
	}
}

// Nobody outside may pretend to be a client.
func TestServerDropsSpoofedClients(t *testing.T) {
	makeOnlineHost(t)
	stranger := newPeer(t)
	connect(t, stranger, "guest0", "192.168.9.1/24", "192.168.9.2/24")
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyServer(serverPlan()))
	defer func() { must(t, h.Undo()) }()
	inside(t, stranger, func() {
		addAddress(t, "uplink", netip.MustParsePrefix("10.8.0.5/32"))
		if err := exchangeOrSilence(t, "uplink", netip.MustParseAddr("192.168.9.1")); err == nil {
			t.Error("an answer where none was expected")
		}
		route := &netlink.Route{
			Dst: toIPNet(prefixes("192.168.9.1/32")[0]), Src: net.ParseIP("10.8.0.5"),
			LinkIndex: linkNamed(t, "uplink").Attrs().Index, Scope: unix.RT_SCOPE_LINK,
		}
		must(t, netlink.RouteAdd(route))
		if err := exchangeOrSilence(t, "uplink", netip.MustParseAddr("192.168.9.1")); err != unix.EAGAIN {
			t.Errorf("a datagram under a client's address: %v, want silence", err)
		}
	})
}

// A server that was killed, however often, goes on translating addresses until
// the next one does, so that the kernel keeps its connections.
func TestServerMasqueradesOnAfterKill(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	before := snapshot(t)
	state := t.TempDir()
	h := open(t, state, testTUN)
	must(t, h.ApplyServer(serverPlan()))
	noted := 0
	for i := range 3 {
		kill(t, h)
		h = open(t, state, testTUN)
		if got := readSysctl(t, "net/ipv4/ip_forward"); got != "0" {
			t.Errorf("ip_forward is %s after a kill, want 0", got)
		}
		if after := snapshot(t); !strings.Contains(after, "postrouting") {
			t.Fatalf("the table is gone:\n%s", after)
		}
		must(t, h.ApplyServer(serverPlan()))
		if i == 0 {
			noted = len(h.changes)
		} else if n := len(h.changes); n != noted {
			t.Errorf("%d changes in the journal, %d before: it grows with every kill", n, noted)
		}
	}
	must(t, h.Undo())
	wantSame(t, "after undo", before, snapshot(t))
}
