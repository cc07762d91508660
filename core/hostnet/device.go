package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/hostnet/nlretry"
)

// device finds an interface by name, as ErrNoDevice when there is none.
func (e *env) device(name string) (netlink.Link, error) {
	link, err := e.nl.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, fmt.Errorf("hostnet: %s: %w", name, ErrNoDevice)
	}
	if err != nil {
		return nil, fmt.Errorf("hostnet: look up %s: %w", name, err)
	}
	return link, nil
}

// sameDevice finds the interface of that name and index, nil when it has
// gone: a new interface of the same name is none of ours.
func (e *env) sameDevice(name string, index int) (netlink.Link, error) {
	link, err := e.device(name)
	if errors.Is(err, ErrNoDevice) || (err == nil && link.Attrs().Index != index) {
		return nil, nil
	}
	return link, err
}

// tunChange brings the TUN device up with its MTU.
type tunChange struct {
	Name    string `json:"name"`
	Index   int    `json:"index"`
	MTU     int    `json:"mtu"`
	PrevMTU int    `json:"prev_mtu"`
	PrevUp  bool   `json:"prev_up"`
}

func (c *tunChange) kind() string   { return "tun" }
func (c *tunChange) outlives() bool { return false }
func (c *tunChange) String() string { return fmt.Sprintf("device %s up, mtu %d", c.Name, c.MTU) }

func (c *tunChange) prepare(e *env) (bool, error) {
	link, err := e.device(c.Name)
	if err != nil {
		return false, err
	}
	c.Index = link.Attrs().Index
	c.PrevMTU = link.Attrs().MTU
	c.PrevUp = link.Attrs().RawFlags&unix.IFF_UP != 0
	return c.PrevMTU != c.MTU || !c.PrevUp, nil
}

func (c *tunChange) do(e *env) error {
	link, err := e.device(c.Name)
	if err != nil {
		return err
	}
	if err := e.nl.LinkSetMTU(link, c.MTU); err != nil {
		return fmt.Errorf("hostnet: set MTU of %s to %d: %w", c.Name, c.MTU, err)
	}
	if err := e.nl.LinkSetUp(link); err != nil {
		return fmt.Errorf("hostnet: set %s up: %w", c.Name, err)
	}
	return nil
}

func (c *tunChange) undo(e *env) (outcome, error) {
	link, err := e.sameDevice(c.Name, c.Index)
	if link == nil || err != nil {
		return gone, err
	}
	result := gone
	if up := link.Attrs().RawFlags&unix.IFF_UP != 0; up && !c.PrevUp {
		if err := e.nl.LinkSetDown(link); err != nil {
			return gone, fmt.Errorf("hostnet: set %s down: %w", c.Name, err)
		}
		result = undone
	}
	switch current := link.Attrs().MTU; current {
	case c.PrevMTU:
		return result, nil
	case c.MTU:
		if err := e.nl.LinkSetMTU(link, c.PrevMTU); err != nil {
			return gone, fmt.Errorf("hostnet: put MTU of %s back to %d: %w", c.Name, c.PrevMTU, err)
		}
		return undone, nil
	default:
		return kept("its MTU was changed to %d meanwhile", current), nil
	}
}

// addressChange gives the TUN device an address.
type addressChange struct {
	TUN    string       `json:"tun"`
	Index  int          `json:"index"`
	Prefix netip.Prefix `json:"prefix"`
	// OwnRoute asks the kernel for the route to the prefix, in main. A client
	// has that route in its own table instead.
	OwnRoute bool `json:"-"`
}

func (c *addressChange) kind() string   { return "address" }
func (c *addressChange) outlives() bool { return false }
func (c *addressChange) String() string { return fmt.Sprintf("address %v on %s", c.Prefix, c.TUN) }

func (c *addressChange) prepare(e *env) (bool, error) {
	link, err := e.device(c.TUN)
	if err != nil {
		return false, err
	}
	c.Index = link.Attrs().Index
	present, err := c.present(e, link)
	return !present, err
}

// present looks for the address among those of the device.
func (c *addressChange) present(e *env, link netlink.Link) (bool, error) {
	addrs, err := nlretry.Dump(func() ([]netlink.Addr, error) { return e.nl.AddrList(link, familyOf(c.Prefix.Addr())) })
	if err != nil {
		return false, fmt.Errorf("hostnet: addresses of %s: %w", c.TUN, err)
	}
	for _, addr := range addrs {
		if fromIPNet(addr.IPNet) == c.Prefix {
			return true, nil
		}
	}
	return false, nil
}

func (c *addressChange) do(e *env) error {
	link, err := e.device(c.TUN)
	if err != nil {
		return err
	}
	// A TUN device has no neighbours: no address can be a duplicate, none
	// a broadcast.
	addr := &netlink.Addr{IPNet: toIPNet(c.Prefix), Flags: unix.IFA_F_NODAD, Broadcast: net.IPv4zero}
	if !c.OwnRoute {
		addr.Flags |= unix.IFA_F_NOPREFIXROUTE
	}
	if err := e.nl.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("hostnet: add %v to %s: %w", c.Prefix, c.TUN, err)
	}
	return nil
}

func (c *addressChange) undo(e *env) (outcome, error) {
	link, err := e.sameDevice(c.TUN, c.Index)
	if link == nil || err != nil {
		return gone, err
	}
	err = e.nl.AddrDel(link, &netlink.Addr{IPNet: toIPNet(c.Prefix), Broadcast: net.IPv4zero})
	if isGone(err) {
		return gone, nil
	}
	if err != nil {
		return gone, fmt.Errorf("hostnet: remove %v from %s: %w", c.Prefix, c.TUN, err)
	}
	return undone, nil
}

// familyOf returns the netlink address family of addr.
func familyOf(addr netip.Addr) int {
	if addr.Is4() {
		return netlink.FAMILY_V4
	}
	return netlink.FAMILY_V6
}

func toIPNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}
}

// fromIPNet returns the zero Prefix for nil.
func fromIPNet(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, size := n.Mask.Size()
	if size == 32 {
		addr = addr.Unmap()
	}
	return netip.PrefixFrom(addr, bits)
}
