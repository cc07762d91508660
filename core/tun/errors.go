package tun

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Why a device cannot be opened. The errors of Open wrap one of these where
// the cause is known.
var (
	ErrNoTUN      = errors.New("the kernel has no TUN device: load it (modprobe tun), or start the container with --device /dev/net/tun")
	ErrPermission = errors.New("making a TUN interface needs root or CAP_NET_ADMIN")
	ErrInUse      = errors.New("the interface exists and is in use by another process, or was made with several queues")
	ErrNotTUN     = errors.New("an interface of this name exists and is not a TUN interface")
	ErrName       = errors.New("not a name for an interface")
)

// errNoFastMode says that the kernel lacks what the fast version needs.
var errNoFastMode = errors.New("this kernel has no TUN with vnet headers")

// errNoSteering says why there is one queue.
var errNoSteering = errors.New("choosing among several needs root or CAP_BPF")

// explain turns the error of making an interface into what a user can act on.
func explain(name string, err error) error {
	for _, known := range []struct{ errno, cause error }{
		{unix.ENOENT, ErrNoTUN},
		{unix.ENODEV, ErrNoTUN},
		{unix.ENXIO, ErrNoTUN},
		{unix.EPERM, ErrPermission},
		{unix.EACCES, ErrPermission},
		{unix.EBUSY, ErrInUse},
		{unix.EINVAL, ErrNotTUN},
	} {
		if errors.Is(err, known.errno) {
			err = known.cause
			break
		}
	}
	if err == ErrNotTUN && isTUN(name) { // one with several queues, which Open gives those it makes
		err = ErrInUse
	}
	return fmt.Errorf("tun: interface %s: %w", name, err)
}

// isTUN tells whether there is a TUN interface of this name.
func isTUN(name string) bool {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return false
	}
	t, ok := link.(*netlink.Tuntap)
	return ok && t.Mode == netlink.TUNTAP_MODE_TUN
}

// checkName refuses what the kernel does not take as an interface's name.
func checkName(name string) error {
	const longest = unix.IFNAMSIZ - 1
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("tun: %q: %w", name, ErrName)
	case len(name) > longest:
		return fmt.Errorf("tun: %q: %w: it has %d bytes, the kernel takes at most %d", name, ErrName, len(name), longest)
	}
	for _, r := range name {
		if r <= ' ' || r >= 0x7f || r == '/' || r == ':' || r == '%' {
			return fmt.Errorf("tun: %q: %w: %q is not allowed in it", name, ErrName, r)
		}
	}
	return nil
}
