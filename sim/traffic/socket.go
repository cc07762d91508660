package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// control returns the function that prepares a socket of this end before it
// binds or connects.
func (e End) control(tune func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) { failed = e.prepare(int(fd), tune) })
		return errors.Join(err, failed)
	}
}

func (e End) prepare(fd int, tune func(fd int) error) error {
	if e.Device != "" {
		if err := unix.BindToDevice(fd, e.Device); err != nil {
			return fmt.Errorf("binding to %s: %w", e.Device, err)
		}
	}
	if e.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(e.Mark)); err != nil {
			return fmt.Errorf("marking with %#x: %w", e.Mark, err)
		}
	}
	if tune != nil {
		return tune(fd)
	}
	return nil
}

// congestion returns the tuning that sets a TCP congestion control; "" leaves
// the kernel's.
func congestion(name string) func(fd int) error {
	return func(fd int) error {
		if name == "" {
			return nil
		}
		err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		if err != nil {
			have, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
			return fmt.Errorf("congestion control %q: %w (this kernel has: %s)",
				name, err, strings.TrimSpace(string(have)))
		}
		return nil
	}
}

// network appends the family of addr to "tcp" or "udp".
func network(proto string, addr netip.Addr) string {
	if addr.Is4() {
		return proto + "4"
	}
	return proto + "6"
}

// listenTCP listens on a free port of the end's address.
func (e End) listenTCP(ctx context.Context, port uint16, cc string) (*net.TCPListener, error) {
	var l net.Listener
	err := nsdo.In(e.NS, func() (err error) {
		lc := net.ListenConfig{Control: e.control(congestion(cc)), KeepAlive: neverAlive}
		lc.SetMultipathTCP(e.Multipath)
		l, err = lc.Listen(ctx, network("tcp", e.Addr), netip.AddrPortFrom(e.Addr, port).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// dialTCP connects to a host, once.
func (e End) dialTCP(ctx context.Context, to netip.AddrPort, cc string) (*net.TCPConn, error) {
	var c net.Conn
	err := nsdo.In(e.NS, func() (err error) {
		d := net.Dialer{Control: e.control(congestion(cc)), KeepAlive: neverAlive}
		d.SetMultipathTCP(e.Multipath)
		c, err = d.DialContext(ctx, network("tcp", to.Addr()), to.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// neverAlive turns keep-alive probes off. By Go's defaults they would end a
// connection after 150 s of an outage, which is the application's own doing, and
// which a host that sleeps as a whole does not do.
const neverAlive = -1

// keepDialing connects to a host, trying again until the context ends: a
// scenario may start without any way there.
func (e End) keepDialing(ctx context.Context, to netip.AddrPort, cc string) (*net.TCPConn, error) {
	for {
		conn, err := e.dialTCP(ctx, to, cc)
		if err == nil {
			return conn, nil
		}
		if SleepUntil(ctx, time.Now().Add(meter.RedialPause)) != nil {
			return nil, err
		}
	}
}

// keepOpening opens sockets of the client, trying again until the traffic's end:
// a device that is not there yet is no reason to give up.
func (j Job) keepOpening(ctx context.Context, open func() error) error {
	for {
		err := open()
		if err == nil || j.now() >= j.end() || SleepUntil(ctx, time.Now().Add(meter.RedialPause)) != nil {
			return err
		}
	}
}

// listenUDP opens a UDP socket; an invalid addr leaves address and family's
// wildcard to the kernel.
func (e End) listenUDP(ctx context.Context, addr netip.Addr, port uint16) (*net.UDPConn, error) {
	var c net.PacketConn
	err := nsdo.In(e.NS, func() (err error) {
		lc := net.ListenConfig{Control: e.control(timestamps)}
		c, err = lc.ListenPacket(ctx, network("udp", addr), netip.AddrPortFrom(addr, port).String())
		return err
	})
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// wildcard is the unspecified address of the family of addr.
func wildcard(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// receiveBuffer is asked for at sockets whose drops would be taken for the
// network's: 4 MiB hold 0.3 s at 100 Mbit/s.
const receiveBuffer = 4 << 20

// timestamps asks for the kernel's time of receipt with each packet.
func timestamps(fd int) error {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
}

// timestampBytes is the size of a struct timespec with 64-bit members.
const timestampBytes = 16

// timestampSpace holds the control message that carries the time of receipt.
var timestampSpace = unix.CmsgSpace(timestampBytes)

// eachDatagram hands on each datagram of at most size bytes that comes to a
// socket, from whom and when the kernel took it in, until the socket is closed.
func eachDatagram(socket *net.UDPConn, size int, take func(data []byte, from netip.AddrPort, at time.Time)) {
	buf := make([]byte, size)
	oob := make([]byte, timestampSpace)
	for {
		n, oobn, _, from, err := socket.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case err == nil:
			take(buf[:n], from, receivedAt(oob[:oobn]))
		case isClosed(err):
			return
		default: // an ICMP error, say
		}
	}
}

// receivedAt reads the kernel's time of receipt from the control messages, or
// returns now if there is none.
func receivedAt(oob []byte) time.Time {
	for len(oob) > 0 {
		header, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		if header.Level == unix.SOL_SOCKET && header.Type == unix.SCM_TIMESTAMPNS && len(data) >= timestampBytes {
			seconds := binary.NativeEndian.Uint64(data)
			nanoseconds := binary.NativeEndian.Uint64(data[8:])
			return time.Unix(int64(seconds), int64(nanoseconds))
		}
		oob = rest
	}
	return time.Now()
}
