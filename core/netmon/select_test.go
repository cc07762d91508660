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

func TestSelect(t *testing.T) {
	with := func(name string, change func(*Interface)) Interface {
		i := usableInterface(name)
		change(&i)
		return i
	}
	kind := func(name, kind string) Interface { return with(name, func(i *Interface) { i.Kind = kind }) }
	veth := func(name string, change func(*Interface)) Interface {
		return with(name, func(i *Interface) {
			i.Kind, i.PeerElsewhere = "veth", true
			change(i)
		})
	}
	same := func(*Interface) {}
	tests := []struct {
		name   string
		in     Interface
		filter Filter
		reason string // part of it; empty when usable
	}{
		{"hardware", usableInterface("eth0"), Filter{}, ""},
		{"IPv6 only", with("eth0", func(i *Interface) {
			i.Addrs4, i.HasRoute4 = nil, false
			i.Addrs6, i.HasRoute6 = []netip.Addr{netip.MustParseAddr("2001:db8::2")}, true
		}), Filter{}, ""},
		{"VLAN", kind("eth0.5", "vlan"), Filter{}, ""},
		{"parent of a VLAN", usableInterface("eth0"), Filter{}, ""},
		{"PPP", kind("ppp0", "ppp"), Filter{}, ""},
		{"modem", kind("wwan0", "wwan"), Filter{}, ""},
		{"bond", kind("bond0", "bond"), Filter{}, ""},
		{"container's own interface", veth("eth0", same), Filter{}, ""},
		{"testbed's interface", veth("wlan0", same), Filter{}, ""},
		{"veth pair in this namespace", veth("veth0", func(i *Interface) { i.PeerElsewhere = false }), Filter{}, ""},

		{"loopback", kind("lo", "loopback"), Filter{}, "loopback"},
		{"TUN", kind("tun0", "tun"), Filter{}, "TUN"},
		{"WireGuard", kind("wg0", "wireguard"), Filter{}, "WireGuard"},
		{"bridge by kind", kind("lan", "bridge"), Filter{}, "bridge"},
		{"bridge by name", kind("br-1234567890ab", "bridge"), Filter{}, "bridge"},
		{"dummy", kind("dummy0", "dummy"), Filter{}, "dummy"},
		{"ifb", kind("ifb0", "ifb"), Filter{}, "intermediate"},
		{"VXLAN", kind("flannel.1", "vxlan"), Filter{}, "tunnel"},
		{"docker by name", usableInterface("docker0"), Filter{}, "container"},
		{"libvirt by name", usableInterface("virbr0-nic"), Filter{}, "container"},
		{"calico by name", veth("cali1234", same), Filter{}, "container"},
		{"end of a container's pair", veth("veth12ab34c", same), Filter{}, "container"},
		{"member of a bridge", veth("wlan0", func(i *Interface) { i.Master, i.MasterKind = "docker0", "bridge" }), Filter{}, "member of docker0"},
		{"member of a bond", with("eth0", func(i *Interface) { i.Master, i.MasterKind = "bond0", "bond" }), Filter{}, "member of bond0"},
		{"member of a routing domain", with("eth0", func(i *Interface) { i.Master, i.MasterKind = "blue", "vrf" }), Filter{}, ""},

		{"down", with("eth0", func(i *Interface) { i.Up = false }), Filter{}, "down"},
		{"no carrier", with("eth0", func(i *Interface) { i.Carrier = false }), Filter{}, "carrier"},
		{"no address", with("eth0", func(i *Interface) { i.Addrs4 = nil }), Filter{}, "address"},
		{"no route", with("eth0", func(i *Interface) { i.HasRoute4 = false }), Filter{}, "route"},
		{"address and route of different families", with("eth0", func(i *Interface) {
			i.HasRoute4, i.HasRoute6 = false, true
		}), Filter{}, "route"},

		{"allowed", usableInterface("eth0"), Filter{Allow: []string{"wlan*", "eth?"}}, ""},
		{"allowed bridge", kind("br0", "bridge"), Filter{Allow: []string{"br0"}}, ""},
		{"allowed docker name", usableInterface("docker0"), Filter{Allow: []string{"docker*"}}, ""},
		{"allowed without a route", with("eth0", func(i *Interface) { i.HasRoute4 = false }), Filter{Allow: []string{"eth0"}}, ""},
		{"allowed but down", with("eth0", func(i *Interface) { i.Up = false }), Filter{Allow: []string{"eth0"}}, "down"},
		{"allowed without an address", with("eth0", func(i *Interface) { i.Addrs4 = nil }), Filter{Allow: []string{"eth0"}}, "address"},
		{"not allowed", usableInterface("eth0"), Filter{Allow: []string{"wlan*"}}, "allow list"},
		{"denied", usableInterface("eth0"), Filter{Deny: []string{"eth*"}}, `"eth*"`},
		{"denied and allowed", usableInterface("eth0"), Filter{Allow: []string{"eth0"}, Deny: []string{"eth0"}}, "denied"},
		{"the tunnel", kind("ml0", "tun"), Filter{Allow: []string{"*"}, Exclude: []string{"ml0"}}, "tunnel itself"},
		{"a pattern with a mistake", usableInterface("eth0"), Filter{Deny: []string{"eth["}}, ""},
	}
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
