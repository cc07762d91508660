package hostnet

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
)

func TestClientAppliesAndUndoes(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	plan := clientPlan(t)
	before := snapshot(t, plan.ResolvConf)
	state := t.TempDir()
	h := open(t, state, testTUN)
	must(t, h.ApplyClient(plan))

	for _, route := range []struct {
		to   string
		mark uint32
		via  string // bound to this interface
		want string
	}{
		{to: "198.51.100.1", want: testTUN},
		{to: "2001:db8::1", want: testTUN},
		{to: "198.51.100.1", mark: DefaultMark, want: "wlan0"},
		{to: "2001:db8::1", mark: DefaultMark, want: "wlan0"},
		{to: "198.51.100.1", mark: DefaultMark, via: "wwan0", want: "wwan0"},
		{to: "2001:db8::1", mark: DefaultMark, via: "wwan0", want: "wwan0"},
		{to: "192.168.2.77", want: "wwan0"}, // the local network stays local
		{to: "fd02::77", want: "wwan0"},
		{to: "192.0.2.9", want: "wlan0"}, // excluded
		{to: "2001:db8:2::9", want: "wlan0"},
		{to: "10.8.0.1", want: testTUN},
		{to: "fd00:8::1", want: testTUN},
	} {
		if got := routeTo(t, route.to, route.mark, route.via); got != route.want {
			t.Errorf("to %s with mark %d bound to %q: leaves by %q, want %q", route.to, route.mark, route.via, got, route.want)
		}
	}
	for key, want := range map[string]string{
		"net/ipv4/conf/all/src_valid_mark": "1",
		"net/ipv4/conf/wlan0/rp_filter":    "2",
		"net/ipv4/conf/wwan0/rp_filter":    "0",
	} {
		if got := readSysctl(t, key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	if link := linkNamed(t, testTUN); link.Attrs().MTU != plan.MTU {
		t.Errorf("MTU is %d, want %d", link.Attrs().MTU, plan.MTU)
	}
	text, err := os.ReadFile(plan.ResolvConf)
	must(t, err)
	if !strings.Contains(string(text), "nameserver 10.8.0.1\nnameserver fd00:8::1\n") {
		t.Errorf("resolver file is %q", text)
	}
	if warnings := h.Warnings(); len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}

	must(t, h.Undo())
	wantSame(t, "after undo", before, snapshot(t, plan.ResolvConf))
	if left, err := journals(state); err != nil || len(left) > 0 {
		t.Errorf("journals %v (%v) left", left, err)
	}
	must(t, h.Undo())
	wantError(t, h.ApplyClient(plan), ErrState)
}

// The main table must stay as it is, apart from the device's own multicast.
func TestClientLeavesMainAlone(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	main := func() []netlink.Route {
		var all []netlink.Route
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			routes, err := netlink.RouteList(nil, family)
			must(t, err)
			all = append(all, routes...)
		}
		return all
	}
	before := main()
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(clientPlan(t)))
	if after := main(); !slices.EqualFunc(before, after, netlink.Route.Equal) {
		t.Errorf("main is\n%v\nwant\n%v", after, before)
	}
	must(t, h.Undo())
}

func TestClientWithoutIPv6InTheTunnel(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	plan := clientPlan(t)
	plan.Addresses = prefixes("10.8.0.2/24")
	plan.KillSwitch = false
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	if got := routeTo(t, "2001:db8::1", 0, ""); got != "" {
		t.Errorf("IPv6 leaks by %s past a tunnel that has none", got)
	}
	if got := routeTo(t, "2001:db8::1", DefaultMark, ""); got != "wlan0" {
		t.Errorf("the product's own IPv6 leaves by %q, want wlan0", got)
	}
	if got := routeTo(t, "fd01::5", 0, ""); got != "wlan0" {
		t.Errorf("the local network is reached by %q, want wlan0", got)
	}
	must(t, h.Undo())
}

func TestClientWithIPv6TurnedOff(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	writeSysctl(t, "net/ipv6/conf/all/disable_ipv6", "1")
	before := snapshot(t)
	plan := clientPlan(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	if got := routeTo(t, "198.51.100.1", 0, ""); got != testTUN {
		t.Errorf("IPv4 leaves by %q, want %s", got, testTUN)
	}
	if warnings := strings.Join(h.Warnings(), "\n"); !strings.Contains(warnings, "fd00:8::2/64") {
		t.Errorf("warnings %q do not tell about the address that is not used", warnings)
	}
	must(t, h.Undo())
	wantSame(t, "after undo", before, snapshot(t))

	plan.Addresses = prefixes("fd00:8::2/64")
	h = open(t, t.TempDir(), testTUN)
	wantError(t, h.ApplyClient(plan), ErrPlan, "fd00:8::2/64")
	must(t, h.Undo())
}

func TestClientWithChosenPrefixes(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	plan := clientPlan(t)
	plan.Default, plan.KillSwitch = false, false
	plan.Include = prefixes("203.0.113.0/24", "2001:db8:3::/48")
	plan.DNS = addrs("198.51.100.53")
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	for to, want := range map[string]string{
		"203.0.113.5": testTUN, "2001:db8:3::5": testTUN, "198.51.100.53": testTUN, "10.8.0.9": testTUN,
		"198.51.100.1": "wlan0", "2001:db8::1": "wlan0", "192.168.2.4": "wwan0",
	} {
		if got := routeTo(t, to, 0, ""); got != want {
			t.Errorf("%s is reached by %q, want %q", to, got, want)
		}
	}
	must(t, h.Undo())
}

func TestClientConflicts(t *testing.T) {
	foreignRule := func(t *testing.T, family int, change func(*netlink.Rule)) {
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Table = family, 7000, 77
		change(rule)
		must(t, netlink.RuleAdd(rule))
	}
	tests := []struct {
		name  string
		taken func(t *testing.T)
		names string
	}{
		{"rule number", func(t *testing.T) {
			foreignRule(t, netlink.FAMILY_V4, func(r *netlink.Rule) { r.Priority = DefaultPriority + 2 })
		}, "5412"},
		{"IPv6 rule number", func(t *testing.T) {
			foreignRule(t, netlink.FAMILY_V6, func(r *netlink.Rule) { r.Priority = DefaultPriority })
		}, "IPv6 rule number 5410"},
		{"table in a rule", func(t *testing.T) {
			foreignRule(t, netlink.FAMILY_V4, func(r *netlink.Rule) { r.Table = DefaultTable })
		}, "table 5410"},
		{"table with routes", func(t *testing.T) {
			must(t, netlink.RouteAdd(&netlink.Route{
				Table: DefaultTable, Dst: toIPNet(prefixes("203.0.113.0/24")[0]), LinkIndex: linkNamed(t, "wlan0").Attrs().Index,
			}))
		}, "table 5410"},
		{"mark", func(t *testing.T) {
			foreignRule(t, netlink.FAMILY_V4, func(r *netlink.Rule) { r.Mark = DefaultMark })
		}, "mark 5410"},
		{"nftables table", func(t *testing.T) {
			conn, err := nftables.New()
			must(t, err)
			conn.AddTable(&nftables.Table{Name: "multilink-" + testTUN, Family: nftables.TableFamilyINet})
			must(t, conn.Flush())
		}, "multilink-mlt0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			enterNamespace(t)
			makeClientHost(t)
			test.taken(t)
			plan := clientPlan(t)
			before := snapshot(t, plan.ResolvConf)
			h := open(t, t.TempDir(), testTUN)
			wantError(t, h.ApplyClient(plan), ErrTaken, test.names)
			wantSame(t, "after the refusal", before, snapshot(t, plan.ResolvConf))
			must(t, h.Undo())
			wantSame(t, "after undo", before, snapshot(t, plan.ResolvConf))
		})
	}
}

// A plan that fails half way leaves nothing, and another can be applied.
func TestClientRollsBack(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	plan := clientPlan(t)
	before := snapshot(t, plan.ResolvConf)
	h := open(t, t.TempDir(), testTUN)
	bad := plan
	bad.ResolvConf = "/nonexistent/resolv.conf"
	if err := h.ApplyClient(bad); err == nil {
		t.Fatal("a resolver file in no directory was written")
	}
	wantSame(t, "after the failure", before, snapshot(t, plan.ResolvConf))
	must(t, h.ApplyClient(plan))
	must(t, h.Undo())
	wantSame(t, "after undo", before, snapshot(t, plan.ResolvConf))
}

func TestApplyRefusals(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	plan := clientPlan(t)
	state := t.TempDir()
	h := open(t, state, testTUN)
	other := plan
	other.TUN = "mlt9"
	wantError(t, h.ApplyClient(other), ErrPlan, "mlt9", testTUN)
	wantError(t, h.SetLinks([]string{"wlan0"}), ErrState)
	must(t, h.ApplyClient(plan))
	wantError(t, h.ApplyClient(plan), ErrState)
	_, err := Open(state, testTUN)
	wantError(t, err, ErrBusy, testTUN)
	wantError(t, h.SetLinks([]string{testTUN}), ErrPlan, testTUN)
	must(t, h.Undo())

	missing := open(t, state, "mlt9")
	wantError(t, missing.ApplyClient(other), ErrNoDevice, "mlt9")
	must(t, missing.Undo())
	_, err = Open(state, "a name far too long")
	wantError(t, err, ErrPlan)
}

func TestSetLinks(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	writeSysctl(t, "net/ipv4/conf/wwan0/rp_filter", "1")
	plan := clientPlan(t)
	plan.Links = []string{"wlan0"}
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	filters := func(wlan, wwan string) {
		t.Helper()
		for name, want := range map[string]string{"wlan0": wlan, "wwan0": wwan} {
			if got := readSysctl(t, "net/ipv4/conf/"+name+"/rp_filter"); got != want {
				t.Errorf("rp_filter of %s is %s, want %s", name, got, want)
			}
		}
	}
	filters("2", "1")
	must(t, h.SetLinks([]string{"wlan0", "wwan0"}))
	filters("2", "2")
	must(t, h.SetLinks([]string{"wwan0", "gone0"}))
	filters("1", "2")
	wantLinkSet(t, "gone0", "wwan0")
	must(t, h.SetLinks(nil))
	filters("1", "1")
	wantLinkSet(t)
	must(t, h.SetLinks([]string{"wlan0"}))

	// A new interface of the same name has to be loosened again.
	must(t, netlink.LinkDel(linkNamed(t, "wwan0")))
	must(t, h.SetLinks([]string{"wlan0", "wwan0"}))
	addLink(t, "wwan0", "192.168.2.2/24", "fd02::2/64", 200)
	writeSysctl(t, "net/ipv4/conf/wwan0/rp_filter", "1")
	must(t, h.SetLinks([]string{"wlan0", "wwan0"}))
	filters("2", "2")
	must(t, h.Undo())
	filters("1", "1")
}

func wantLinkSet(t *testing.T, names ...string) {
	t.Helper()
	conn, err := nftables.New()
	must(t, err)
	set, err := conn.GetSetByName(&nftables.Table{Name: tableName(testTUN), Family: nftables.TableFamilyINet}, linkSet)
	must(t, err)
	elements, err := conn.GetSetElements(set)
	must(t, err)
	var got []string
	for _, element := range elements {
		got = append(got, strings.TrimRight(string(element.Key), "\x00"))
	}
	slices.Sort(got)
	if !slices.Equal(got, names) {
		t.Errorf("the kill switch watches %q, want %q", got, names)
	}
}
