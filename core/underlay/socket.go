package underlay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
)

// socket is what both versions of a UDP socket share.
type socket struct {
	counters
	udp    *net.UDPConn
	raw    syscall.RawConn
	local  netip.AddrPort
	remote netip.AddrPort // of a client's socket
	v6     bool           // address family of the socket
	closed atomic.Bool

	receiveBuffer, sendBuffer int
}

// openSocket opens a client's socket where o.Remote is set, else a server's.
func openSocket(o Options) (*socket, error) {
	s := &socket{remote: unmapPort(o.Remote)}
	var err error
	if s.connected() {
		err = s.dial(o)
	} else {
		err = s.listen(o)
	}
	if err != nil {
		return nil, err
	}
	s.local = unmapPort(s.udp.LocalAddr().(*net.UDPAddr).AddrPort())
	if s.raw, err = s.udp.SyscallConn(); err == nil {
		err = s.raw.Control(func(fd uintptr) {
			s.receiveBuffer, s.sendBuffer = buffers(int(fd))
			domain, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
			s.v6 = domain == unix.AF_INET6
		})
	}
	if err != nil {
		_ = s.udp.Close()
		return nil, fmt.Errorf("underlay: %w", err)
	}
	return s, nil
}

func (s *socket) dial(o Options) error {
	d := net.Dialer{Control: prepare(bindTo(o), setUDP)}
	if o.Listen.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(unmapPort(o.Listen))
	}
	c, err := d.Dial("udp", s.remote.String())
	if err != nil {
		return explain(describe(o), err)
	}
	s.udp = c.(*net.UDPConn)
	return nil
}

func (s *socket) listen(o Options) error {
	lc := net.ListenConfig{Control: prepare(bindTo(o), setUDP, setPacketInfo, share(o))}
	c, err := listenAny(o.Listen, func(network, address string) (net.PacketConn, error) {
		return lc.ListenPacket(context.Background(), "udp"+network, address)
	})
	if err != nil {
		return explain(describe(o), err)
	}
	s.udp = c.(*net.UDPConn)
	return nil
}

// listenAny calls listen with the family ("4", "6", or "" for both) and the
// address that addr stands for. Without IPv6 in the kernel, the wildcard of
// both is that of IPv4.
func listenAny[T any](addr netip.AddrPort, listen func(family, address string) (T, error)) (T, error) {
	ip := addr.Addr().Unmap()
	switch {
	case ip.Is4():
		return listen("4", netip.AddrPortFrom(ip, addr.Port()).String())
	case ip.IsValid() && !ip.IsUnspecified():
		return listen("6", addr.String())
	}
	c, err := listen("", netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port()).String())
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return listen("4", netip.AddrPortFrom(netip.IPv4Unspecified(), addr.Port()).String())
	}
	return c, err
}

// describe says for an error message what was to be opened.
func describe(o Options) string {
	text := fmt.Sprintf("listen on %s", o.Listen)
	if !o.Listen.Addr().IsValid() {
		text = fmt.Sprintf("listen on port %d", o.Listen.Port())
	}
	if o.Remote.IsValid() {
		text = fmt.Sprintf("socket to %s", o.Remote)
		if o.Listen.Addr().IsValid() {
			text += fmt.Sprintf(" from %s", o.Listen.Addr())
		}
	}
	if o.Device != "" {
		text += " on interface " + o.Device
	}
	return text
}

// connected says whether this is a client's socket.
func (s *socket) connected() bool { return s.remote.IsValid() }

func (s *socket) LocalAddr() netip.AddrPort { return s.local }

func (s *socket) Close() error {
	s.closed.Store(true)
	return s.udp.Close()
}

// failed returns the error that a Read ended with.
func (s *socket) failed(err error) error {
	if s.closed.Load() {
		return net.ErrClosed
	}
	return fmt.Errorf("underlay: receive on %s: %w", s.local, err)
}

// gaveUp returns the error that a Write ended with when rest bytes were left.
func (s *socket) gaveUp(p core.Path, rest, segment int, err error) error {
	s.writeFailed.Add(datagrams(rest, segment))
	if s.closed.Load() {
		return net.ErrClosed
	}
	to := p.Remote
	if s.connected() {
		to = s.remote
	}
	return fmt.Errorf("underlay: send from %s to %s: %w", s.local, to, err)
}

// unmapPort turns an IPv4-mapped address into the IPv4 address.
func unmapPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
