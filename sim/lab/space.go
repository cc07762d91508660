package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// space is one machine of a topology: a network namespace with a way to
// configure it.
type space struct {
	name string
	ns   netns.NsHandle
	nl   *netlink.Handle
}

// newSpace makes a namespace with its loopback up.
func newSpace(name string) (*space, error) {
	ns, err := nsdo.Create(name)
	if err != nil {
		return nil, err
	}
	s := &space{name: name, ns: ns}
	if s.nl, err = netlink.NewHandleAt(ns); err != nil {
		ns.Close()
		return nil, errors.Join(fmt.Errorf("netlink in %s: %w", name, err), nsdo.Delete(name))
	}
	// Addresses that nobody else can have need not be asked for, and routers
	// that advertise nothing need not be waited for.
	err = errors.Join(s.up("lo"),
		s.sysctl("ipv6.conf.default.accept_dad", "0"),
		s.sysctl("ipv6.conf.default.accept_ra", "0"))
	if err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// close gives up the handles; the namespace stays.
func (s *space) close() {
	s.nl.Close()
	s.ns.Close()
}

// remove ends the namespace and all that is in it.
func (s *space) remove() error {
	s.close()
	return nsdo.Delete(s.name)
}

// errorf says what failed where.
func (s *space) errorf(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", s.name, fmt.Sprintf(format, args...), err)
}

// sysctl sets net.KEY, the parts of KEY separated by dots.
func (s *space) sysctl(key, value string) error {
	return nsdo.In(s.ns, func() error {
		path := "/proc/sys/net/" + strings.ReplaceAll(key, ".", "/")
		return s.errorf(os.WriteFile(path, []byte(value), 0), "sysctl net.%s = %s", key, value)
	})
}

// linkSysctl sets net.ipvN.conf.LINK.KEY; link names may have dots.
func (s *space) linkSysctl(family int, link, key, value string) error {
	return nsdo.In(s.ns, func() error {
		path := fmt.Sprintf("/proc/sys/net/ipv%d/conf/%s/%s", family, link, key)
		return s.errorf(os.WriteFile(path, []byte(value), 0), "sysctl %s of %s = %s", key, link, value)
	})
}

// forward makes the machine a router.
func (s *space) forward() error {
	return errors.Join(s.sysctl("ipv4.ip_forward", "1"), s.sysctl("ipv6.conf.all.forwarding", "1"))
}

// cable connects interface name here with interface peerName there. A MAC that
// is nil is the kernel's choice.
func (s *space) cable(name string, mac net.HardwareAddr, there *space, peerName string, peerMAC net.HardwareAddr) error {
	err := s.nl.LinkAdd(&netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: name, HardwareAddr: mac, TxQLen: -1},
		PeerName:         peerName,
		PeerHardwareAddr: peerMAC,
		PeerNamespace:    netlink.NsFd(int(there.ns)),
	})
	return s.errorf(err, "cable %s to %s in %s", name, peerName, there.name)
}

func (s *space) up(link string) error {
	l, err := s.nl.LinkByName(link)
	if err == nil {
		err = s.nl.LinkSetUp(l)
	}
	return s.errorf(err, "interface %s up", link)
}

// linkPatience bounds the wait for an interface.
const linkPatience = 10 * time.Second

// waitUp waits until the kernel has noticed the carrier of an interface that is
// up: what is sent before is dropped, and a lost address resolution costs a
// second.
func (s *space) waitUp(link string) error {
	for limit := time.Now().Add(linkPatience); ; time.Sleep(time.Millisecond) {
		l, err := s.nl.LinkByName(link)
		if err == nil && l.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if err == nil && time.Now().After(limit) {
			err = fmt.Errorf("its state is %v after %v", l.Attrs().OperState, linkPatience)
		}
		if err != nil {
			return s.errorf(err, "waiting for interface %s", link)
		}
	}
}

func (s *space) down(link string) error {
	l, err := s.nl.LinkByName(link)
	if err == nil {
		err = s.nl.LinkSetDown(l)
	}
	return s.errorf(err, "interface %s down", link)
}

// removeLink deletes an interface, and with it the other end of its cable.
func (s *space) removeLink(link string) error {
	l, err := s.nl.LinkByName(link)
	if err == nil {
		err = s.nl.LinkDel(l)
	}
	return s.errorf(err, "removing interface %s", link)
}

// address adds an address to an interface.
func (s *space) address(link string, address netip.Prefix) error {
	l, err := s.nl.LinkByName(link)
	if err == nil {
		err = s.nl.AddrAdd(l, netlinkAddress(address))
	}
	return s.errorf(err, "address %s on %s", address, link)
}

// removeAddress takes an address from an interface, and with it its routes.
func (s *space) removeAddress(link string, address netip.Prefix) error {
	l, err := s.nl.LinkByName(link)
	if err == nil {
		err = s.nl.AddrDel(l, netlinkAddress(address))
	}
	return s.errorf(err, "removing address %s from %s", address, link)
}

func netlinkAddress(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

// route adds a route to a destination by a gateway (none if it is not valid)
// on an interface.
func (s *space) route(destination netip.Prefix, gateway netip.Addr, link string, metric int) error {
	l, err := s.nl.LinkByName(link)
	if err == nil {
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(destination), Priority: metric}
		if gateway.IsValid() {
			r.Gw = gateway.AsSlice()
		} else {
			r.Scope = netlink.SCOPE_LINK
		}
		err = s.nl.RouteReplace(r)
	}
	return s.errorf(err, "route to %s by %s on %s", destination, gateway, link)
}

// neighbour tells the machine who has an address on an interface, for good.
func (s *space) neighbour(link string, address netip.Addr, mac net.HardwareAddr) error {
	l, err := s.nl.LinkByName(link)
	if err == nil {
		family := netlink.FAMILY_V4
		if address.Is6() {
			family = netlink.FAMILY_V6
		}
		err = s.nl.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: family,
			State: netlink.NUD_PERMANENT, IP: address.AsSlice(), HardwareAddr: mac})
	}
	return s.errorf(err, "neighbour %s on %s", address, link)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
