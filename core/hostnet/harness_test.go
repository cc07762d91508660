package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/hostnet/nlretry"
)

// testTUN is the name of the TUN device in the tests' namespaces.
const testTUN = "mlt0"

// enterNamespace puts the goroutine of the test into a network namespace of
// its own. Its thread is never unlocked: it ends with the goroutine, and the
// namespace with it.
func enterNamespace(t *testing.T) netns.NsHandle {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Skipf("cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	// Without duplicate detection and link-local addresses, less comes after
	// the fact. For TUN devices, the kernel would also make a secret that
	// stays.
	for key, value := range map[string]string{"accept_dad": "0", "dad_transmits": "0", "addr_gen_mode": "1"} {
		writeSysctl(t, "net/ipv6/conf/default/"+key, value)
	}
	setUp(t, "lo")
	return ns
}

// inside runs f in another namespace.
func inside(t *testing.T, ns netns.NsHandle, f func()) {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	must(t, netns.Set(ns))
	defer func() {
		must(t, netns.Set(here))
		_ = here.Close()
	}()
	f()
}

// newPeer makes a second namespace without staying in it.
func newPeer(t *testing.T) netns.NsHandle {
	t.Helper()
	here, err := netns.Get()
	must(t, err)
	peer := enterNamespace(t)
	must(t, netns.Set(here))
	_ = here.Close()
	return peer
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error, parts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not name %q", err, part)
		}
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func addrs(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// clientPlan is a plan that uses everything.
func clientPlan(t *testing.T) ClientPlan {
	return ClientPlan{
		TUN: testTUN, MTU: 1420, Addresses: prefixes("10.8.0.2/24", "fd00:8::2/64"),
		Mark: DefaultMark, Table: DefaultTable, Priority: DefaultPriority, Default: true,
		Exclude: prefixes("192.0.2.0/24", "2001:db8:2::/48"), KillSwitch: true,
		DNS: addrs("10.8.0.1", "fd00:8::1"), ResolvConf: writeResolvConf(t),
		Links: []string{"wlan0", "wwan0"},
	}
}

func writeResolvConf(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "resolv.conf")
	must(t, os.WriteFile(path, []byte("nameserver 192.168.1.1\n"), 0o640))
	return path
}

// makeClientHost makes a TUN device and two links with a default route each,
// the first with a strict reverse path filter.
func makeClientHost(t *testing.T) {
	t.Helper()
	addTUN(t, testTUN)
	addLink(t, "wlan0", "192.168.1.2/24", "fd01::2/64", 100)
	addLink(t, "wwan0", "192.168.2.2/24", "fd02::2/64", 200)
	writeSysctl(t, "net/ipv4/conf/wlan0/rp_filter", "1")
}

func addTUN(t *testing.T, name string) {
	t.Helper()
	link := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_NO_PI}
	if err := netlink.LinkAdd(link); err != nil {
		t.Skipf("cannot make a TUN device: %v", err)
	}
}

// addLink makes a veth pair, NAME and NAME-p, and routes through NAME: the
// gateway is address .1 or ::1.
func addLink(t *testing.T, name, v4, v6 string, metric int) {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-p"}))
	setUp(t, name+"-p")
	setUp(t, name)
	link := linkNamed(t, name)
	for _, text := range []string{v4, v6} {
		prefix := netip.MustParsePrefix(text)
		must(t, netlink.AddrAdd(link, &netlink.Addr{IPNet: toIPNet(prefix), Flags: unix.IFA_F_NODAD}))
		must(t, netlink.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index, Gw: prefix.Masked().Addr().Next().AsSlice(), Priority: metric,
			Dst: toIPNet(defaultOf(familyOf(prefix.Addr()))),
		}))
	}
	settle(t, name, name+"-p")
}

// settle waits until interfaces run and have the IPv6 routes that the kernel
// adds some time after that.
func settle(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		waitFor(t, name+" to come up", func() bool {
			link := linkNamed(t, name)
			list, err := nlretry.Dump(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_V6) })
			must(t, err)
			want := prefixes("ff00::/8")
			for _, a := range list {
				addr := fromIPNet(a.IPNet).Addr()
				want = append(want, netip.PrefixFrom(addr, addr.BitLen()))
			}
			routes, err := nlretry.Dump(func() ([]netlink.Route, error) {
				return netlink.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{LinkIndex: link.Attrs().Index},
					netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
			})
			must(t, err)
			for _, prefix := range want {
				if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return fromIPNet(r.Dst) == prefix }) {
					return false
				}
			}
			return link.Attrs().OperState == netlink.OperUp
		})
	}
}

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

func waitFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !happened() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// occupy keeps a thread in a namespace, so that others can see it exists.
func occupy(t *testing.T, ns netns.NsHandle) {
	t.Helper()
	entered, leave, left := make(chan error), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		runtime.LockOSThread()
		entered <- netns.Set(ns)
		<-leave
	}()
	must(t, <-entered)
	t.Cleanup(func() {
		close(leave)
		<-left
	})
}

func setUp(t *testing.T, name string) {
	t.Helper()
	must(t, netlink.LinkSetUp(linkNamed(t, name)))
}

func linkNamed(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	return link
}

func writeSysctl(t *testing.T, key, value string) {
	t.Helper()
	must(t, os.WriteFile("/proc/sys/"+key, []byte(value), 0o644))
}

func readSysctl(t *testing.T, key string) string {
	t.Helper()
	data, err := os.ReadFile("/proc/sys/" + key)
	must(t, err)
	return strings.TrimSpace(string(data))
}

// open is Open with the services of the machine that runs the test out of
// reach.
func open(t *testing.T, stateDir, tun string) *Host {
	t.Helper()
	h, err := Open(stateDir, tun)
	must(t, err)
	h.env.dialBus = func() (busCaller, error) { return nil, errors.New("no bus in tests") }
	h.env.resolvconf = ""
	return h
}

// kill makes the journal look as if its owner had died.
func kill(t *testing.T, h *Host) {
	t.Helper()
	j, err := readJournal(h.env.stateDir, h.env.owner.TUN)
	must(t, err)
	j.owner.Start--
	must(t, writeJournal(h.env.stateDir, *j))
	h.env.close()
}

// snapshot describes all of the namespace's network settings, and the files
// named.
func snapshot(t *testing.T, files ...string) string {
	t.Helper()
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	links, err := nlretry.Dump(netlink.LinkList)
	must(t, err)
	for _, link := range links {
		a := link.Attrs()
		add("link %d %s mtu %d up %v", a.Index, a.Name, a.MTU, a.RawFlags&unix.IFF_UP != 0)
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		snapshotFamily(t, family, add)
	}
	snapshotSysctls(t, add)
	snapshotNftables(t, add)
	for _, file := range files {
		e, err := readEntry(file)
		must(t, err)
		add("file %s %+v", file, e)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func snapshotFamily(t *testing.T, family int, add func(string, ...any)) {
	t.Helper()
	list, err := nlretry.Dump(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, family) })
	must(t, err)
	for _, a := range list {
		add("address %d %v scope %d", a.LinkIndex, a.IPNet, a.Scope)
	}
	rules, err := nlretry.Dump(func() ([]netlink.Rule, error) { return netlink.RuleList(family) })
	must(t, err)
	for _, r := range rules {
		add("rule %d %v invert %v mark %d suppress %d", family, r, r.Invert, r.Mark, r.SuppressPrefixlen)
	}
	routes, err := nlretry.Dump(func() ([]netlink.Route, error) {
		return netlink.RouteListFiltered(family, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	})
	must(t, err)
	for _, r := range routes {
		add("route %d table %d dev %d %v via %v type %d metric %d scope %d", family, r.Table, r.LinkIndex, r.Dst, r.Gw, r.Type, r.Priority, r.Scope)
	}
}

func snapshotSysctls(t *testing.T, add func(string, ...any)) {
	t.Helper()
	for _, pattern := range []string{"ipv4/conf/*/*", "ipv6/conf/*/*", "ipv4/ip_forward"} {
		keys, err := filepath.Glob("/proc/sys/net/" + pattern)
		must(t, err)
		for _, key := range keys {
			if value, err := os.ReadFile(key); err == nil {
				add("sysctl %s %s", key, value)
			}
		}
	}
}

func snapshotNftables(t *testing.T, add func(string, ...any)) {
	t.Helper()
	conn, err := nftables.New()
	must(t, err)
	tables, err := conn.ListTables()
	must(t, err)
	for _, table := range tables {
		add("nft table %d %s", table.Family, table.Name)
	}
	chains, err := conn.ListChains()
	must(t, err)
	for _, chain := range chains {
		rules, err := conn.GetRules(chain.Table, chain)
		must(t, err)
		for i, r := range rules {
			text := fmt.Sprintf("nft %s %s rule %d", chain.Table.Name, chain.Name, i)
			for _, e := range r.Exprs {
				text += fmt.Sprintf(" %T%+v", e, e)
			}
			add("%s", text)
		}
	}
}

// wantSame fails with the lines in which two snapshots differ.
func wantSame(t *testing.T, context, before, after string) {
	t.Helper()
	if before == after {
		return
	}
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	for _, text := range was {
		if !slices.Contains(is, text) {
			t.Errorf("%s: missing: %s", context, text)
		}
	}
	for _, text := range is {
		if !slices.Contains(was, text) {
			t.Errorf("%s: left over: %s", context, text)
		}
	}
	t.FailNow()
}

// routeTo returns the interface a packet would take, "" for none.
func routeTo(t *testing.T, to string, mark uint32, via string) string {
	t.Helper()
	routes, err := netlink.RouteGetWithOptions(net.ParseIP(to), &netlink.RouteGetOptions{Mark: mark, Oif: via})
	if err != nil || len(routes) == 0 {
		return ""
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	must(t, err)
	return link.Attrs().Name
}
