// Package underlay is the tunnel's outside: the UDP sockets that carry
// datagrams over each access network, and the TCP connections beside them.
//
// A UDP socket has two versions. The fast one sends and receives runs of
// datagrams with one system call (UDP_SEGMENT, UDP_GRO, sendmmsg, recvmmsg);
// the portable one takes one call for each. Memory is a network in memory for
// tests.
package underlay

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/multilink-vpn/multilink/core"
)

// Mode selects the version of a socket.
type Mode string

// The modes. ModeAuto takes the fast one where the kernel can do it.
const (
	ModeAuto     Mode = "auto"
	ModeFast     Mode = "fast"
	ModePortable Mode = "portable"
)

// Options say what socket to open.
type Options struct {
	// Listen is the local address. On a server, the IPv6 wildcard and the zero
	// address mean IPv4 as well; on a client, the zero address leaves the
	// choice to the kernel.
	Listen netip.AddrPort
	// Remote makes the socket a client's: it exchanges datagrams with this
	// address only.
	Remote netip.AddrPort
	// Device is the interface to which all traffic is bound, if not empty.
	Device string
	// Mark is the socket's firewall mark, if not 0.
	Mark uint32
	// Mode is ModeAuto when empty.
	Mode Mode

	shared bool // with other sockets of this process, see OpenGroup
}

// Conn is a UDP socket. Its methods may be called at the same time.
type Conn interface {
	// Read waits for a datagram, then takes what else is there, up to a
	// bound. The batch's datagrams are valid until the next Read with that
	// batch. After Close, and in a Read that Close interrupts, it returns
	// net.ErrClosed. Errors that ICMP messages cause are counted and are none.
	Read(b *Batch) error
	// Write sends data as datagrams of segment bytes, of which the last may be
	// shorter, from p.Local (where it is set) to p.Remote; a client's socket
	// ignores p. It never waits long: datagrams for which there is no room, or
	// that exceed the MTU, are counted and dropped without error. An error is
	// about the way as a whole, such as ENETUNREACH or EPERM; what was not
	// sent yet is dropped then.
	Write(data []byte, segment int, p core.Path) error
	// LocalAddr is the socket's own address.
	LocalAddr() netip.AddrPort
	// Info says how the socket works. It may change with use.
	Info() Info
	// Counters may be called at any time.
	Counters() Counters
	// Close ends a Read that waits.
	Close() error
}

// Info says how a socket works.
type Info struct {
	Mode Mode `json:"mode"` // ModeFast or ModePortable
	GSO  bool `json:"gso"`  // runs are sent as one
	GRO  bool `json:"gro"`  // runs are received as one
	// ReceiveBuffer and SendBuffer are the kernel's, in bytes, as it counts
	// them: twice what was asked for.
	ReceiveBuffer int `json:"receive_buffer"`
	SendBuffer    int `json:"send_buffer"`
	// Reason says why not everything is in use, where that is so.
	Reason string `json:"reason,omitempty"`
}

// Open opens a socket: a client's where o.Remote is set, else a server's.
func Open(o Options) (Conn, error) {
	switch o.Mode {
	case ModeFast, ModePortable, ModeAuto, "":
	default:
		return nil, fmt.Errorf("underlay: unknown mode %q: it is auto, fast or portable", o.Mode)
	}
	s, err := openSocket(o)
	if err != nil {
		return nil, err
	}
	if o.Mode == ModePortable {
		return newPortable(s, "portable mode was asked for"), nil
	}
	c, err := newFast(s)
	switch {
	case err == nil:
		return c, nil
	case o.Mode != ModeFast && errors.Is(err, errNoFastMode):
		return newPortable(s, err.Error()), nil
	}
	_ = s.udp.Close()
	return nil, err
}

// OpenGroup opens n sockets of a server on one port. The kernel gives what comes
// from one address and port to one of them, always the same (SO_REUSEPORT), so
// that n readers share the work and no path's datagrams change places. It does
// not matter which of them sends.
func OpenGroup(o Options, n int) ([]Conn, error) {
	o.shared = n > 1
	group := make([]Conn, 0, n)
	for range n {
		c, err := Open(o)
		if err != nil {
			for _, c := range group {
				_ = c.Close()
			}
			return nil, err
		}
		group = append(group, c)
		o.Listen = netip.AddrPortFrom(o.Listen.Addr(), c.LocalAddr().Port()) // port 0: the one that was chosen
	}
	return group, nil
}
