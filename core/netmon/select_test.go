package netmon

import (
	"net/netip"
	"strings"
	"testing"
)

// usableInterface is one with everything a link needs.
func usableInterface(name string) Interface {
	return Interface{
		Name: name, Index: 2, Up: true, Carrier: true, Kind: "device",
		Addrs4: []netip.Addr{netip.MustParseAddr("192.168.1.2")}, HasRoute4: true,
	}
}

// with is a usable interface after a change.
func with(name string, change func(*Interface)) Interface {
	i := usableInterface(name)
	change(&i)
	return i
}

func ofKind(name, kind string) Interface { return with(name, func(i *Interface) { i.Kind = kind }) }

// veth is an interface whose other end is in another namespace, after a change.
func veth(name string, change func(*Interface)) Interface {
	return with(name, func(i *Interface) {
		i.Kind, i.PeerElsewhere = "veth", true
		change(i)
	})
}

func asItIs(*Interface) {}

type selection struct {
	name   string
	in     Interface
	filter Filter
	reason string // part of it; empty when usable
}

func checkSelect(t *testing.T, tests []selection) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			usable, rejected := Select([]Interface{test.in}, test.filter)
			reason := rejected[test.in.Name]
			switch {
			case test.reason == "" && (len(usable) != 1 || len(rejected) != 0):
				t.Errorf("rejected: %q", reason)
			case test.reason != "" && (len(usable) != 0 || !strings.Contains(reason, test.reason)):
				t.Errorf("usable %v, reason %q, want %q", usable, reason, test.reason)
			}
		})
	}
}

func TestSelectTakesUplinks(t *testing.T) {
	checkSelect(t, []selection{
		{"hardware", usableInterface("eth0"), Filter{}, ""},
		{"IPv6 only", with("eth0", func(i *Interface) {
			i.Addrs4, i.HasRoute4 = nil, false
			i.Addrs6, i.HasRoute6 = []netip.Addr{netip.MustParseAddr("2001:db8::2")}, true
		}), Filter{}, ""},
		{"VLAN", ofKind("eth0.5", "vlan"), Filter{}, ""},
		{"parent of a VLAN", usableInterface("eth0"), Filter{}, ""},
		{"PPP", ofKind("ppp0", "ppp"), Filter{}, ""},
		{"modem", ofKind("wwan0", "wwan"), Filter{}, ""},
		{"bond", ofKind("bond0", "bond"), Filter{}, ""},
		{"container's own interface", veth("eth0", asItIs), Filter{}, ""},
		{"testbed's interface", veth("wlan0", asItIs), Filter{}, ""},
		{"veth pair in this namespace", veth("veth0", func(i *Interface) { i.PeerElsewhere = false }), Filter{}, ""},
	})
}

func TestSelectRejectsByKind(t *testing.T) {
	checkSelect(t, []selection{
		{"loopback", ofKind("lo", "loopback"), Filter{}, "loopback"},
		{"TUN", ofKind("tun0", "tun"), Filter{}, "TUN"},
		{"WireGuard", ofKind("wg0", "wireguard"), Filter{}, "WireGuard"},
		{"bridge by kind", ofKind("lan", "bridge"), Filter{}, "bridge"},
		{"bridge by name", ofKind("br-1234567890ab", "bridge"), Filter{}, "bridge"},
		{"dummy", ofKind("dummy0", "dummy"), Filter{}, "dummy"},
		{"ifb", ofKind("ifb0", "ifb"), Filter{}, "intermediate"},
		{"VXLAN", ofKind("flannel.1", "vxlan"), Filter{}, "tunnel"},
		{"docker by name", usableInterface("docker0"), Filter{}, "container"},
		{"libvirt by name", usableInterface("virbr0-nic"), Filter{}, "container"},
		{"calico by name", veth("cali1234", asItIs), Filter{}, "container"},
		{"end of a container's pair", veth("veth12ab34c", asItIs), Filter{}, "container"},
		{"member of a bridge", veth("wlan0", func(i *Interface) { i.Master, i.MasterKind = "docker0", "bridge" }), Filter{}, "member of docker0"},
		{"member of a bond", with("eth0", func(i *Interface) { i.Master, i.MasterKind = "bond0", "bond" }), Filter{}, "member of bond0"},
		{"member of a routing domain", with("eth0", func(i *Interface) { i.Master, i.MasterKind = "blue", "vrf" }), Filter{}, ""},
	})
}

func TestSelectRejectsWhatCannotCarry(t *testing.T) {
	checkSelect(t, []selection{
		{"down", with("eth0", func(i *Interface) { i.Up = false }), Filter{}, "down"},
		{"no carrier", with("eth0", func(i *Interface) { i.Carrier = false }), Filter{}, "carrier"},
		{"no address", with("eth0", func(i *Interface) { i.Addrs4 = nil }), Filter{}, "address"},
		{"no route", with("eth0", func(i *Interface) { i.HasRoute4 = false }), Filter{}, "route"},
		{"address and route of different families", with("eth0", func(i *Interface) {
			i.HasRoute4, i.HasRoute6 = false, true
		}), Filter{}, "route"},
	})
}

func TestSelectByFilter(t *testing.T) {
	checkSelect(t, []selection{
		{"allowed", usableInterface("eth0"), Filter{Allow: []string{"wlan*", "eth?"}}, ""},
		{"allowed bridge", ofKind("br0", "bridge"), Filter{Allow: []string{"br0"}}, ""},
		{"allowed docker name", usableInterface("docker0"), Filter{Allow: []string{"docker*"}}, ""},
		{"allowed without a route", with("eth0", func(i *Interface) { i.HasRoute4 = false }), Filter{Allow: []string{"eth0"}}, ""},
		{"allowed but down", with("eth0", func(i *Interface) { i.Up = false }), Filter{Allow: []string{"eth0"}}, "down"},
		{"allowed without an address", with("eth0", func(i *Interface) { i.Addrs4 = nil }), Filter{Allow: []string{"eth0"}}, "address"},
		{"not allowed", usableInterface("eth0"), Filter{Allow: []string{"wlan*"}}, "allow list"},
		{"denied", usableInterface("eth0"), Filter{Deny: []string{"eth*"}}, `"eth*"`},
		{"denied and allowed", usableInterface("eth0"), Filter{Allow: []string{"eth0"}, Deny: []string{"eth0"}}, "denied"},
		{"the tunnel", ofKind("ml0", "tun"), Filter{Allow: []string{"*"}, Exclude: []string{"ml0"}}, "tunnel itself"},
		{"a pattern with a mistake", usableInterface("eth0"), Filter{Deny: []string{"eth["}}, ""},
	})
}

func TestSelectKeepsTheOrder(t *testing.T) {
	in := []Interface{usableInterface("b"), usableInterface("docker0"), usableInterface("a")}
	usable, rejected := Select(in, Filter{})
	if len(usable) != 2 || usable[0].Name != "b" || usable[1].Name != "a" || len(rejected) != 1 {
		t.Errorf("usable %v, rejected %v", usable, rejected)
	}
}

func TestFilterValidate(t *testing.T) {
	if err := (Filter{Allow: []string{"eth*", "wlan[0-9]"}, Deny: []string{"wlan?"}}).Validate(); err != nil {
		t.Error(err)
	}
	err := (Filter{Deny: []string{"eth*", "wlan["}}).Validate()
	if err == nil || !strings.Contains(err.Error(), `"wlan["`) {
		t.Errorf("error %v does not name the pattern", err)
	}
}
