package hostnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctl reads a value by its path below /proc/sys. The path, not the dotted
// name, because interface names hold dots.
func (e *env) sysctl(key string) (string, error) {
	data, err := os.ReadFile(filepath.Join(e.sysctlDir, key))
	return strings.TrimSpace(string(data)), err
}

func (e *env) setSysctl(key, value string) error {
	return os.WriteFile(filepath.Join(e.sysctlDir, key), []byte(value+"\n"), 0o644)
}

// sysctlChange sets one value. What it sets is a help: where the system has
// no such value, or does not let it be written (a container), the tunnel goes
// on with a warning.
type sysctlChange struct {
	Key   string `json:"key"` // path below /proc/sys
	Value string `json:"value"`
	Prev  string `json:"prev"`
	// Link is the index of the interface whose value it is, 0 for a value
	// of the whole namespace. A namespace's value may be in use by other
	// tunnels; that of an interface goes with it.
	Link int    `json:"link,omitempty"`
	Name string `json:"name,omitempty"` // of the interface
}

func (c *sysctlChange) kind() string   { return "sysctl" }
func (c *sysctlChange) outlives() bool { return false }
func (c *sysctlChange) String() string { return "sysctl " + c.Key + "=" + c.Value }

func (c *sysctlChange) prepare(e *env) (bool, error) {
	current, err := e.sysctl(c.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("hostnet: read sysctl %s: %w", c.Key, err)
	}
	other, err := c.sharedWith(e)
	if err != nil {
		return false, err
	}
	if other != nil {
		c.Prev = other.Prev
		return true, nil
	}
	c.Prev = current
	return current != c.Value, nil
}

func (c *sysctlChange) do(e *env) error {
	if current, err := e.sysctl(c.Key); err == nil && current == c.Value {
		return nil
	}
	if err := e.setSysctl(c.Key, c.Value); err != nil {
		e.warn("sysctl %s could not be set to %s: %v", c.Key, c.Value, err)
	}
	return nil
}

func (c *sysctlChange) undo(e *env) (outcome, error) {
	other, err := c.sharedWith(e)
	if err != nil {
		return gone, err
	}
	if other != nil {
		return kept("another tunnel uses it"), nil
	}
	if c.Link != 0 && e.linkIndex(c.Name) != c.Link {
		return gone, nil
	}
	current, err := e.sysctl(c.Key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return gone, nil
	case err != nil:
		return gone, fmt.Errorf("hostnet: read sysctl %s: %w", c.Key, err)
	case current == c.Prev:
		return gone, nil
	case current != c.Value:
		return kept("it was changed to %s meanwhile", current), nil
	}
	if err := e.setSysctl(c.Key, c.Prev); err != nil {
		return gone, fmt.Errorf("hostnet: put sysctl %s back to %s: %w", c.Key, c.Prev, err)
	}
	return undone, nil
}

// sharedWith returns the same change in another tunnel's journal, if any.
func (c *sysctlChange) sharedWith(e *env) (*sysctlChange, error) {
	return neighbour(e, func(o *sysctlChange) bool { return o.Key == c.Key && o.Link == c.Link })
}

// looseReversePath lets an interface take packets whose source the routing
// table would reach through another one, which is the rule with several
// links: 2 is loose, 1 strict (RFC 3704). The kernel takes the larger of the
// value for all and that of the interface. It returns nil when there is
// nothing to change and no other tunnel did.
func (e *env) looseReversePath(name string) (*sysctlChange, error) {
	index := e.linkIndex(name)
	if index == 0 {
		return nil, nil
	}
	strictest := 0
	for _, scope := range []string{"all", name} {
		text, err := e.sysctl(filepath.Join("net/ipv4/conf", scope, "rp_filter"))
		if err != nil {
			return nil, nil // no IPv4 on it
		}
		value, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("hostnet: rp_filter of %s: %w", scope, err)
		}
		strictest = max(strictest, value)
	}
	c := &sysctlChange{
		Key: filepath.Join("net/ipv4/conf", name, "rp_filter"), Value: "2", Link: index, Name: name,
	}
	other, err := c.sharedWith(e)
	if err != nil || (strictest != 1 && other == nil) {
		return nil, err
	}
	return c, nil
}

// linkIndex returns 0 when there is no interface of that name.
func (e *env) linkIndex(name string) int {
	link, err := e.nl.LinkByName(name)
	if err != nil {
		return 0
	}
	return link.Attrs().Index
}

// ipv6On tells whether IPv6 can be used on an interface.
func (e *env) ipv6On(name string) bool {
	value, err := e.sysctl(filepath.Join("net/ipv6/conf", name, "disable_ipv6"))
	return err == nil && value == "0"
}

// isGone tells whether err means that what was to be removed is not there.
func isGone(err error) bool {
	for _, code := range []unix.Errno{unix.ENOENT, unix.ESRCH, unix.ENODEV, unix.EADDRNOTAVAIL} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}
