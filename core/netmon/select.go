package netmon

import (
	"fmt"
	"path"
	"slices"
)

// Filter is what the user says about interfaces. Patterns are those of
// path.Match: *, ? and [a-z].
type Filter struct {
	// Allow, unless empty, lists the only interfaces to use. One that is
	// listed is used whatever its kind and name, and also when it leads no
	// further than its local network.
	Allow []string
	// Deny lists interfaces not to use. It wins over Allow.
	Deny []string
	// Exclude holds the names of the tunnel's own devices.
	Exclude []string
}

// Validate returns an error that names the first pattern with a mistake.
func (f Filter) Validate() error {
	for _, pattern := range slices.Concat(f.Allow, f.Deny) {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("netmon: interface pattern %q: %w; want a name with *, ? or [a-z] in it", pattern, err)
		}
	}
	return nil
}

// ownNames are the patterns of interfaces that container and virtual machine
// managers make for themselves.
var ownNames = []string{
	"docker*", "br-*", "virbr*", "lxcbr*", "lxdbr*", "incusbr*", "cni*", "flannel*", "cali*", "podman*", "vboxnet*", "vmnet*",
}

// containerEnds are the patterns for the host's ends of veth pairs into
// containers.
var containerEnds = []string{"veth*", "lxc*"}

// excludedKinds says why interfaces of a kind are not used by themselves.
var excludedKinds = map[string]string{
	"loopback":  "is the loopback interface",
	"tun":       "is a TUN or TAP device",
	"wireguard": "is a WireGuard tunnel",
	"bridge":    "is a bridge",
	"dummy":     "is a dummy interface",
	"ifb":       "is an intermediate functional block",
	"vrf":       "is a routing domain",
	"nlmon":     "is a netlink monitor",
	"vxlan":     "is a tunnel",
	"geneve":    "is a tunnel",
	"gre":       "is a tunnel",
	"gretap":    "is a tunnel",
	"ip6gre":    "is a tunnel",
	"ip6gretap": "is a tunnel",
	"ipip":      "is a tunnel",
	"ip6tnl":    "is a tunnel",
	"sit":       "is a tunnel",
	"vti":       "is a tunnel",
	"vti6":      "is a tunnel",
	"xfrm":      "is a tunnel",
}

// Select divides interfaces into those that can carry a link, in the order
// given, and the others, each with the reason.
func Select(ifs []Interface, f Filter) (usable []Interface, rejected map[string]string) {
	rejected = map[string]string{}
	for _, i := range ifs {
		if reason := f.reject(i); reason != "" {
			rejected[i.Name] = reason
		} else {
			usable = append(usable, i)
		}
	}
	return usable, rejected
}

// reject returns why an interface cannot be used, empty if it can.
func (f Filter) reject(i Interface) string {
	if slices.Contains(f.Exclude, i.Name) {
		return "is the tunnel itself"
	}
	if pattern := matching(f.Deny, i.Name); pattern != "" {
		return fmt.Sprintf("is denied by %q", pattern)
	}
	allowed := matching(f.Allow, i.Name) != ""
	if !allowed {
		if len(f.Allow) > 0 {
			return "is not in the allow list"
		}
		if reason := rejectNature(i); reason != "" {
			return reason
		}
	}
	return rejectState(i, allowed)
}

// rejectNature judges by what an interface is.
func rejectNature(i Interface) string {
	if reason := excludedKinds[i.Kind]; reason != "" {
		return reason
	}
	if matching(ownNames, i.Name) != "" {
		return "belongs to a container or virtual machine manager"
	}
	if slices.Contains([]string{"bridge", "bond", "team"}, i.MasterKind) {
		return fmt.Sprintf("is a member of %s", i.Master)
	}
	if i.Kind == "veth" && i.PeerElsewhere && matching(containerEnds, i.Name) != "" {
		return "leads into a container"
	}
	return ""
}

// rejectState judges by what an interface can do now.
func rejectState(i Interface, onLinkWillDo bool) string {
	switch {
	case !i.Up:
		return "is down"
	case !i.Carrier:
		return "has no carrier"
	case len(i.Addrs4) == 0 && len(i.Addrs6) == 0:
		return "has no address"
	case onLinkWillDo:
		return ""
	case (len(i.Addrs4) == 0 || !i.HasRoute4) && (len(i.Addrs6) == 0 || !i.HasRoute6):
		return "has no route beyond its local network"
	}
	return ""
}

// matching returns the first pattern that name matches, empty if none. A
// pattern with a mistake matches nothing.
func matching(patterns []string, name string) string {
	for _, pattern := range patterns {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return pattern
		}
	}
	return ""
}
