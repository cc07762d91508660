package hostnet

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// LimitMTU says that packets to addr, behind the server's TUN device, can have at
// most mtu bytes, which is less than the device's: the kernel fragments longer ones,
// or tells their sender (RFC 1191, RFC 8201). It is in force until UnlimitMTU, or the
// device is gone.
func (h *Host) LimitMTU(addr netip.Addr, mtu int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("hostnet: limit packets to %v after undo: %w", addr, ErrState)
	}
	r, err := h.clientRoute(addr)
	if err != nil {
		return err
	}
	r.MTU = mtu
	if err := h.env.nl.RouteReplace(r); err != nil {
		return fmt.Errorf("hostnet: limit packets to %v to %d bytes: %w", addr, mtu, err)
	}
	return nil
}

// UnlimitMTU ends what LimitMTU has begun, if it is still in force.
func (h *Host) UnlimitMTU(addr netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil // the device is gone, or soon will be
	}
	r, err := h.clientRoute(addr)
	if err != nil {
		return err
	}
	if err := h.env.nl.RouteDel(r); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("hostnet: end the limit of packets to %v: %w", addr, err)
	}
	return nil
}

// clientRoute is the route to one address behind the TUN device.
func (h *Host) clientRoute(addr netip.Addr) (*netlink.Route, error) {
	link, err := h.env.device(h.env.owner.TUN)
	if err != nil {
		return nil, err
	}
	r := &netlink.Route{
		Dst: toIPNet(netip.PrefixFrom(addr, addr.BitLen())), LinkIndex: link.Attrs().Index,
		Family: familyOf(addr), Protocol: unix.RTPROT_STATIC,
	}
	if addr.Is4() {
		r.Scope = unix.RT_SCOPE_LINK
	}
	return r, nil
}
