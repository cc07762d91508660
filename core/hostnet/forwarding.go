package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/vishvananda/netlink"
)

// forwardingChange lets the host forward one family.
//
// The kernel's switch is not one value: writing it also overwrites the
// forwarding value of each interface and, for IPv4, whether redirects are
// accepted; and with it on, IPv6 interfaces stop to listen to router
// advertisements unless accept_ra is 2, and lose the default route they
// learned (Documentation/networking/ip-sysctl.rst). So the values around it
// are noted and put back with it.
type forwardingChange struct {
	Family int    `json:"family"` // AF_INET or AF_INET6
	Uplink string `json:"uplink,omitempty"`
	Prev   string `json:"prev"`
	// Around holds the values of the others as they were before.
	Around map[string]string `json:"around,omitempty"`
}

const (
	forward4 = "net/ipv4/ip_forward"
	forward6 = "net/ipv6/conf/all/forwarding"
)

func (c *forwardingChange) key() string {
	if c.Family == netlink.FAMILY_V4 {
		return forward4
	}
	return forward6
}

func (c *forwardingChange) kind() string   { return "forwarding" }
func (c *forwardingChange) outlives() bool { return false }
func (c *forwardingChange) String() string { return familyName(c.Family) + " forwarding" }

func (c *forwardingChange) prepare(e *env) (bool, error) {
	current, err := e.sysctl(c.key())
	if err != nil {
		return false, fmt.Errorf("hostnet: read sysctl %s: %w", c.key(), err)
	}
	other, err := c.sharedWith(e)
	if err != nil {
		return false, err
	}
	if other != nil {
		c.Prev, c.Around = other.Prev, other.Around
		return true, nil
	}
	c.Prev = current
	if current == "1" {
		// Noted nevertheless: another tunnel that comes later must not
		// take it for its own doing.
		return true, nil
	}
	c.Around, err = c.around(e)
	return true, err
}

func (c *forwardingChange) do(e *env) error {
	for key := range c.Around {
		if filepath.Base(key) != "accept_ra" {
			continue
		}
		if err := e.setSysctl(key, "2"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("hostnet: set sysctl %s to 2: %w", key, err)
		}
	}
	if current, err := e.sysctl(c.key()); err == nil && current == "1" {
		return nil
	}
	if err := e.setSysctl(c.key(), "1"); err != nil {
		return fmt.Errorf("hostnet: set sysctl %s to 1: %w", c.key(), err)
	}
	return nil
}

func (c *forwardingChange) undo(e *env) (outcome, error) {
	other, err := c.sharedWith(e)
	if err != nil {
		return gone, err
	}
	if other != nil {
		return kept("another tunnel uses it"), nil
	}
	if c.Prev == "1" {
		return gone, nil
	}
	on, err := e.sysctl(c.key())
	if err != nil {
		return gone, fmt.Errorf("hostnet: read sysctl %s: %w", c.key(), err)
	}
	current := e.values(slices.Sorted(maps.Keys(c.Around)))
	result := gone
	if on != c.Prev {
		if err := e.setSysctl(c.key(), c.Prev); err != nil {
			return gone, fmt.Errorf("hostnet: put sysctl %s back to %s: %w", c.key(), c.Prev, err)
		}
		result = undone
	}
	return result, c.putBack(e, current, on)
}

// putBack restores the values around the switch, given what they and the
// switch were at the start of undo. A value that the switch does not explain
// was set by somebody else since, and is kept.
func (c *forwardingChange) putBack(e *env, current map[string]string, on string) error {
	var errs []error
	for key, was := range current {
		want := c.Around[key]
		if was != caused(key, on) {
			want = was
		}
		if now, err := e.sysctl(key); err != nil || now == want {
			continue // the interface has gone, or nothing to do
		}
		if err := e.setSysctl(key, want); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("hostnet: put sysctl %s back to %s: %w", key, want, err))
		}
	}
	return errors.Join(errs...)
}

// caused returns what turning the switch on or off left at key.
func caused(key, on string) string {
	switch filepath.Base(key) {
	case "accept_ra":
		return "2" // ours, set before the switch
	case "accept_redirects":
		if on == "1" {
			return "0"
		}
		return "1"
	default: // forwarding of an interface
		return on
	}
}

// around reads the values that the switch changes, and those of accept_ra that
// have to change with it.
func (c *forwardingChange) around(e *env) (map[string]string, error) {
	base := "net/ipv4/conf"
	if c.Family == netlink.FAMILY_V6 {
		base = "net/ipv6/conf"
	}
	entries, err := os.ReadDir(filepath.Join(e.sysctlDir, base))
	if err != nil {
		return nil, fmt.Errorf("hostnet: interfaces in sysctl %s: %w", base, err)
	}
	var keys []string
	for _, entry := range entries {
		name := entry.Name()
		if name != "all" {
			keys = append(keys, filepath.Join(base, name, "forwarding"))
		}
		if c.Family == netlink.FAMILY_V6 && c.listensToRouters(e, name) {
			keys = append(keys, filepath.Join(base, name, "accept_ra"))
		}
	}
	if c.Family == netlink.FAMILY_V4 {
		keys = append(keys, filepath.Join(base, "all", "accept_redirects"))
	}
	return e.values(keys), nil
}

// values reads those sysctls that exist.
func (e *env) values(keys []string) map[string]string {
	values := map[string]string{}
	for _, key := range keys {
		if value, err := e.sysctl(key); err == nil {
			values[key] = value
		}
	}
	return values
}

// listensToRouters tells whether an interface that could be an uplink takes
// router advertisements, and would stop to.
func (c *forwardingChange) listensToRouters(e *env, name string) bool {
	if name == "all" || name == "default" || name == "lo" || name == e.owner.TUN {
		return false
	}
	if c.Uplink != "" && name != c.Uplink {
		return false
	}
	conf := filepath.Join("net/ipv6/conf", name)
	listens, err := e.sysctl(filepath.Join(conf, "accept_ra"))
	forwards, err2 := e.sysctl(filepath.Join(conf, "forwarding"))
	return err == nil && err2 == nil && listens == "1" && forwards == "0"
}

// sharedWith returns the same change in another tunnel's journal, if any.
func (c *forwardingChange) sharedWith(e *env) (*forwardingChange, error) {
	return neighbour(e, func(o *forwardingChange) bool { return o.Family == c.Family })
}
