package underlay

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// bufferBytes is the size of the kernel's queues on both sides of a
	// socket, as tuned for runs of 64 KB.
	bufferBytes = 8 << 20
	// userTimeout cuts a control connection whose data is not acknowledged,
	// in milliseconds (RFC 5482).
	userTimeout = 10_000
	// notSent bounds what a control connection keeps in the kernel beyond what is
	// on its way, in bytes.
	notSent = 32 << 10
)

// prepare makes a hook of package net, which prepares a socket before it is
// bound or connected, of functions that set options; the second argument of
// each says whether the socket is an IPv6 one.
func prepare(set ...func(fd int, v6 bool) error) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) (err error) {
		v6 := strings.HasSuffix(network, "6")
		controlErr := c.Control(func(fd uintptr) {
			for _, f := range set {
				if err = f(int(fd), v6); err != nil {
					return
				}
			}
		})
		if controlErr != nil {
			return controlErr
		}
		return err
	}
}

// Control returns the hook of package net that binds any other socket, such as
// one that asks a name server, to the link that o describes.
func Control(o Options) func(network, address string, c syscall.RawConn) error {
	return prepare(bindTo(o))
}

// bindTo sets what keeps a socket on its link: interface and mark.
func bindTo(o Options) func(fd int, v6 bool) error {
	return func(fd int, _ bool) error {
		if o.Device != "" {
			if err := unix.BindToDevice(fd, o.Device); err != nil {
				return fmt.Errorf("bind to interface %s: %w", o.Device, err)
			}
		}
		if o.Mark != 0 {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(o.Mark)); err != nil {
				return fmt.Errorf("set mark %#x: %w", o.Mark, err)
			}
		}
		return nil
	}
}

// setUDP sets the options that every UDP socket here has.
func setUDP(fd int, v6 bool) error {
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	// Never fragment, and let no ICMP message change the path MTU behind our
	// back: it is found by probing (RFC 8899).
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE); err != nil {
		return fmt.Errorf("set IP_MTU_DISCOVER: %w", err)
	}
	if !v6 {
		return nil
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE); err != nil {
		return fmt.Errorf("set IPV6_MTU_DISCOVER: %w", err)
	}
	return nil
}

// share lets the sockets of a group have one port.
func share(o Options) func(fd int, v6 bool) error {
	return func(fd int, _ bool) error {
		if !o.shared {
			return nil
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return fmt.Errorf("set SO_REUSEPORT: %w", err)
		}
		return nil
	}
}

// setBuffer sets a queue's size, beyond the system's limit where that is
// permitted. A smaller queue is no error; Info shows it.
func setBuffer(fd, force, plain int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, bufferBytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, bufferBytes)
	}
}

// setPacketInfo has the kernel say to which address each datagram was sent.
func setPacketInfo(fd int, v6 bool) error {
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return fmt.Errorf("set packet information: %w", err)
	}
	return nil
}

// maxSegment bounds the segments of control connections: with all headers
// they fit the 1280 bytes that any IPv6 path carries (RFC 8200 section 5).
// On a path that silently drops larger packets the handshake would hang.
const maxSegment = 1280 - 40 - 20

// setTCP sets the options that every control connection has beyond those of
// package net. Accepted connections inherit them from their listener.
func setTCP(fd int, _ bool) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, maxSegment); err != nil {
		return fmt.Errorf("set TCP_MAXSEG: %w", err)
	}
	// Where UDP is blocked the connection carries the data, of which the tunnel lets no
	// more wait than it can carry. BBR would stand still for 0.2 s every ten because it
	// sees no empty queue. A kernel without CUBIC keeps its default.
	_ = unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	// Datagrams that the connection carries wait where they can be dropped.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent); err != nil {
		return fmt.Errorf("set TCP_NOTSENT_LOWAT: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, userTimeout); err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
	}
	return nil
}

// setTimes has the kernel say when each message arrived. Where it does not,
// messages count as arrived when they are read.
func setTimes(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1) }

// setOffload turns on receiving in runs and checks that runs can be sent.
func setOffload(fd int) error {
	if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
}

// buffers returns the sizes of the queues as the kernel counts them.
func buffers(fd int) (receive, send int) {
	receive, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	send, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	return receive, send
}
