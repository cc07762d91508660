package netmon

import (
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come. A Monitor that only
// polls at hour intervals shows nothing by itself.
const patience = 30 * time.Second

// enterNamespace puts the test into a network namespace of its own. Its thread
// is never unlocked: it ends with the test's goroutine.
func enterNamespace(t *testing.T) {
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
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// watcher follows a Monitor.
type watcher struct {
	t *testing.T
	m *Monitor
}

func watch(t *testing.T, opts Options) watcher {
	t.Helper()
	m, err := New(opts)
	must(t, err)
	t.Cleanup(m.Close)
	return watcher{t, m}
}

// until waits for a snapshot in which the interface of that name is as wanted;
// nil is what is passed when there is none.
func (w watcher) until(what, name string, wanted func(*Interface) bool) {
	w.t.Helper()
	timeout := time.After(patience)
	var last []Interface
	for {
		select {
		case ifs := <-w.m.C():
			last = ifs
			var found *Interface
			if at := slices.IndexFunc(ifs, func(i Interface) bool { return i.Name == name }); at >= 0 {
				found = &ifs[at]
			}
			if wanted(found) {
				return
			}
		case <-timeout:
			w.t.Fatalf("%s %s did not show; last seen: %+v", name, what, last)
		}
	}
}

func linkNamed(t *testing.T, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	must(t, err)
	return link
}

func addr(t *testing.T, text string) *netlink.Addr {
	t.Helper()
	a, err := netlink.ParseAddr(text)
	must(t, err)
	a.Flags = unix.IFA_F_NODAD
	return a
}

func addVeth(t *testing.T, name string) {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-p"}))
}

func gatewayRoute(t *testing.T, name, gateway string, metric int) *netlink.Route {
	t.Helper()
	return &netlink.Route{
		LinkIndex: linkNamed(t, name).Attrs().Index, Gw: netip.MustParseAddr(gateway).AsSlice(), Priority: metric,
	}
}

// onlyEvents is a Monitor that has nothing but events.
var onlyEvents = Options{Poll: time.Hour, Settle: time.Millisecond}

func TestMonitorShowsTheLifeOfAnInterface(t *testing.T) {
	enterNamespace(t)
	w := watch(t, onlyEvents)
	w.until("at the start", "lo", func(i *Interface) bool { return i != nil && i.Kind == "loopback" && !i.Up })
	addVeth(t, "wlan0")
	w.until("plugged in", "wlan0", func(i *Interface) bool { return i != nil && i.Kind == "veth" && !i.Up })
	must(t, netlink.LinkSetUp(linkNamed(t, "wlan0")))
	w.until("up", "wlan0", func(i *Interface) bool { return i.Up && !i.Carrier })
	must(t, netlink.LinkSetUp(linkNamed(t, "wlan0-p")))
	w.until("with carrier", "wlan0", func(i *Interface) bool { return i.Carrier })
	must(t, netlink.AddrAdd(linkNamed(t, "wlan0"), addr(t, "192.168.1.2/24")))
	w.until("with an address", "wlan0", func(i *Interface) bool { return len(i.Addrs4) == 1 && !i.HasRoute4 })
	route := gatewayRoute(t, "wlan0", "192.168.1.1", 0)
	must(t, netlink.RouteAdd(route))
	w.until("with a route", "wlan0", func(i *Interface) bool {
		usable, _ := Select([]Interface{*i}, Filter{})
		return len(usable) == 1 && i.Gateway4 == netip.MustParseAddr("192.168.1.1")
	})
	route.Gw = netip.MustParseAddr("192.168.1.9").AsSlice()
	must(t, netlink.RouteReplace(route))
	w.until("with another gateway", "wlan0", func(i *Interface) bool { return i.Gateway4 == netip.MustParseAddr("192.168.1.9") })
	must(t, netlink.RouteDel(route))
	w.until("without a route", "wlan0", func(i *Interface) bool { return !i.HasRoute4 && !i.Gateway4.IsValid() })

	// Another network: a new address and gateway, IPv6 too.
	must(t, netlink.AddrDel(linkNamed(t, "wlan0"), addr(t, "192.168.1.2/24")))
	must(t, netlink.AddrAdd(linkNamed(t, "wlan0"), addr(t, "10.1.1.7/24")))
	must(t, netlink.AddrAdd(linkNamed(t, "wlan0"), addr(t, "2001:db8::7/64")))
	must(t, netlink.RouteAdd(gatewayRoute(t, "wlan0", "10.1.1.1", 50)))
	must(t, netlink.RouteAdd(gatewayRoute(t, "wlan0", "2001:db8::1", 50)))
	w.until("readdressed", "wlan0", func(i *Interface) bool {
		return slices.Equal(i.Addrs4, []netip.Addr{netip.MustParseAddr("10.1.1.7")}) &&
			slices.Equal(i.Addrs6, []netip.Addr{netip.MustParseAddr("2001:db8::7")}) &&
			i.Gateway4 == netip.MustParseAddr("10.1.1.1") && i.Gateway6 == netip.MustParseAddr("2001:db8::1")
	})
	must(t, netlink.LinkSetDown(linkNamed(t, "wlan0-p")))
	w.until("without carrier", "wlan0", func(i *Interface) bool { return !i.Carrier })
	must(t, netlink.LinkSetName(linkNamed(t, "wlan0"), "wlan9"))
	w.until("under its old name", "wlan0", func(i *Interface) bool { return i == nil })
	must(t, netlink.LinkDel(linkNamed(t, "wlan9")))
	w.until("unplugged", "wlan9", func(i *Interface) bool { return i == nil })
}

func TestMonitorTellsKinds(t *testing.T) {
	enterNamespace(t)
	addVeth(t, "wlan0")
	addVeth(t, "eth0")
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "lan"}}))
	must(t, netlink.LinkSetMaster(linkNamed(t, "eth0"), linkNamed(t, "lan")))
	must(t, netlink.LinkAdd(&netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: "tun5"}, Mode: netlink.TUNTAP_MODE_TUN, Flags: netlink.TUNTAP_NO_PI,
	}))
	here, err := netns.Get()
	must(t, err)
	defer func() { _ = here.Close() }()
	other, err := netns.New()
	must(t, err)
	defer func() { _ = other.Close() }()
	must(t, netns.Set(here))
	must(t, netlink.LinkSetNsFd(linkNamed(t, "wlan0-p"), int(other)))

	ifs := <-watch(t, onlyEvents).m.C()
	got := map[string]Interface{}
	for _, i := range ifs {
		got[i.Name] = i
	}
	for name, want := range map[string]struct {
		kind, master string
		elsewhere    bool
	}{
		"lo": {kind: "loopback"}, "wlan0": {kind: "veth", elsewhere: true}, "eth0": {kind: "veth", master: "lan"},
		"lan": {kind: "bridge"}, "tun5": {kind: "tun"},
	} {
		i := got[name]
		if i.Kind != want.kind || i.Master != want.master || i.PeerElsewhere != want.elsewhere {
			t.Errorf("%s is %+v, want %+v", name, i, want)
		}
	}
	if got["eth0"].MasterKind != "bridge" {
		t.Errorf("eth0's master is a %q", got["eth0"].MasterKind)
	}
}

// The best default route gives the gateway, in whatever order they come.
func TestMonitorPrefersTheBestRoute(t *testing.T) {
	enterNamespace(t)
	addVeth(t, "eth0")
	must(t, netlink.LinkSetUp(linkNamed(t, "eth0-p")))
	must(t, netlink.LinkSetUp(linkNamed(t, "eth0")))
	must(t, netlink.AddrAdd(linkNamed(t, "eth0"), addr(t, "192.168.1.2/24")))
	for gateway, metric := range map[string]int{"192.168.1.3": 300, "192.168.1.1": 100, "192.168.1.4": 200} {
		must(t, netlink.RouteAdd(gatewayRoute(t, "eth0", gateway, metric)))
	}
	watch(t, onlyEvents).until("with its gateway", "eth0", func(i *Interface) bool {
		return i.Gateway4 == netip.MustParseAddr("192.168.1.1")
	})
}

// Without events, the poll finds changes.
func TestMonitorPolls(t *testing.T) {
	enterNamespace(t)
	w := watch(t, Options{Poll: 10 * time.Millisecond, Settle: time.Hour})
	<-w.m.C()
	must(t, w.m.events.LeaveGroup(unix.RTNLGRP_LINK))
	addVeth(t, "wlan0")
	w.until("found by polling", "wlan0", func(i *Interface) bool { return i != nil })
}

// What cannot pass packets any more is told without waiting for more to change.
func TestMonitorTellsOfLossAtOnce(t *testing.T) {
	enterNamespace(t)
	for _, name := range []string{"wlan0", "eth0"} {
		addVeth(t, name)
		must(t, netlink.LinkSetUp(linkNamed(t, name)))
		must(t, netlink.LinkSetUp(linkNamed(t, name+"-p")))
		watch(t, onlyEvents).until("with carrier", name, func(i *Interface) bool { return i.Carrier })
	}
	w := watch(t, Options{Poll: time.Hour, Settle: time.Hour})
	must(t, netlink.AddrAdd(linkNamed(t, "wlan0"), addr(t, "192.168.1.2/24")))
	must(t, netlink.LinkSetDown(linkNamed(t, "wlan0-p")))
	w.until("without carrier", "wlan0", func(i *Interface) bool { return !i.Carrier })
	must(t, netlink.LinkDel(linkNamed(t, "eth0")))
	w.until("unplugged", "eth0", func(i *Interface) bool { return i == nil })
}

// A reader that does not come holds nothing up, and then gets the newest.
func TestMonitorKeepsTheNewest(t *testing.T) {
	enterNamespace(t)
	w := watch(t, onlyEvents)
	other := watch(t, onlyEvents)
	names := []string{"a0", "a1", "a2", "a3"}
	for _, name := range names {
		addVeth(t, name)
		other.until("plugged in", name, func(i *Interface) bool { return i != nil })
	}
	// The other monitor has seen all of them; this one does so too, at the
	// latest with the next snapshot.
	w.until("plugged in", "a3", func(i *Interface) bool { return i != nil })
	if waiting := len(w.m.C()); waiting > 1 {
		t.Errorf("%d snapshots wait", waiting)
	}
}

// Events that were lost cost nothing but a full read.
func TestMonitorSurvivesLostEvents(t *testing.T) {
	enterNamespace(t)
	addVeth(t, "wlan0")
	must(t, netlink.LinkSetUp(linkNamed(t, "wlan0")))
	w := watch(t, onlyEvents)
	must(t, w.m.events.SetReadBuffer(1)) // the kernel's minimum
	for i := range 200 {
		a := addr(t, netip.AddrFrom4([4]byte{10, 0, byte(i), 1}).String()+"/24")
		must(t, netlink.AddrAdd(linkNamed(t, "wlan0"), a))
	}
	w.until("with all addresses", "wlan0", func(i *Interface) bool { return len(i.Addrs4) == 200 })
}

func TestMonitorLeavesNothingBehind(t *testing.T) {
	enterNamespace(t)
	ignore := goleak.IgnoreCurrent()
	before := openFiles(t)
	for range 20 {
		m, err := New(Options{})
		must(t, err)
		m.Close()
		m.Close()
		for range m.C() { // the first snapshot is still there, then it ends
		}
	}
	goleak.VerifyNone(t, ignore)
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}
