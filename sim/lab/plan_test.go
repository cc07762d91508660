package lab

import (
	"net/netip"
	"testing"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Every subnet of the largest topology is apart from every other, and from
// what the tunnel uses by default.
func TestSubnetsAreApart(t *testing.T) {
	const links = 16
	prefixes := map[string]netip.Prefix{
		"server 4": server4.Masked(), "server 6": server6.Masked(),
		"hosts 4": netip.MustParsePrefix("198.18.0.0/24"), "hosts 6": netip.MustParsePrefix("fd00:198:18::/64"),
		"tunnel 4": netip.MustParsePrefix("10.8.0.0/24"), "tunnel 6": netip.MustParsePrefix("fd4d:4c::/64"),
	}
	for i := range links {
		for _, family := range []int{4, 6} {
			for _, n := range []network{wan(i, family), lan(i, 0, family), lan(i, 1, family), lan(i, maxGenerations-1, family)} {
				if n.near.Masked() != n.far.Masked() || n.near == n.far {
					t.Errorf("link %d: %v and %v are no two ends of a subnet", i, n.near, n.far)
				}
				prefixes[n.near.String()] = n.near.Masked()
			}
		}
	}
	if want := 6 + links*2*4; len(prefixes) != want {
		t.Errorf("%d subnets, want %d", len(prefixes), want)
	}
	for a, p := range prefixes {
		for b, q := range prefixes {
			if a != b && p.Overlaps(q) {
				t.Errorf("%s (%v) overlaps %s (%v)", a, p, b, q)
			}
		}
	}
}

func TestNamesAreOfOneRun(t *testing.T) {
	a, b := newNames(), newNames()
	seen := map[string]bool{}
	for _, name := range append(a.all(16), b.all(16)...) {
		if seen[name] {
			t.Errorf("%s twice", name)
		}
		seen[name] = true
	}
}

func TestFamilies(t *testing.T) {
	for underlay, want := range map[scenario.Underlay]int{
		scenario.Underlay4: 1, scenario.Underlay6: 1, scenario.UnderlayBoth: 2,
	} {
		if got := families(underlay); len(got) != want {
			t.Errorf("underlay %s: families %v", underlay, got)
		}
	}
}
