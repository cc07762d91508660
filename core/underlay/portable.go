package underlay

import (
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
)

// portableConn moves one datagram per system call.
type portableConn struct {
	*socket
	reason string

	writeMu sync.Mutex
	oob     []byte // of the Write under way
}

func newPortable(s *socket, reason string) *portableConn {
	return &portableConn{socket: s, reason: reason, oob: make([]byte, 0, oobLen)}
}

func (c *portableConn) Info() Info {
	return Info{Mode: ModePortable, ReceiveBuffer: c.receiveBuffer, SendBuffer: c.sendBuffer, Reason: c.reason}
}

func (c *portableConn) Read(b *Batch) error {
	if b.one == nil {
		b.one, b.oob = make([]byte, maxDatagram), make([]byte, oobLen)
	}
	b.Datagrams = b.Datagrams[:0]
	for len(b.Datagrams) == 0 {
		m, err := c.receive(b)
		if err != nil && !c.closed.Load() && byICMP(err) {
			c.icmpErrors.Add(1)
			continue
		}
		if err != nil {
			return c.failed(err)
		}
		control, err := parseControl(b.oob[:m.oobLen])
		if err != nil || m.flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			c.readTruncated.Add(1)
			continue
		}
		p := core.Path{Remote: c.remote}
		if !c.connected() {
			p = core.Path{Local: control.local, Remote: addrPortOf(m.from)}
		}
		b.add(b.one[:m.len], 0, p, 0)
	}
	c.read(b)
	return nil
}

// message says what a system call received.
type message struct {
	len, oobLen, flags int
	from               unix.Sockaddr
}

// receive waits for one datagram. It does not go through package net, which
// turns a link-local address's interface into a name and remembers it longer
// than that may hold.
func (c *portableConn) receive(b *Batch) (message, error) {
	var (
		m   message
		err error
	)
	readErr := c.raw.Read(func(fd uintptr) bool {
		for {
			m.len, m.oobLen, m.flags, m.from, err = unix.Recvmsg(int(fd), b.one, b.oob, unix.MSG_DONTWAIT)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	})
	if readErr != nil {
		return m, readErr
	}
	return m, err
}

func (c *portableConn) Write(data []byte, segment int, p core.Path) error {
	if len(data) == 0 {
		return nil
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	segment = segmentOf(data, segment)
	c.oob = c.oob[:0]
	var to unix.Sockaddr
	if !c.connected() {
		if err := reaches(c.v6, p.Remote, p.Local); err != nil {
			return c.gaveUp(p, len(data), segment, err)
		}
		to = sockaddr(c.v6, p.Remote)
		if p.Local.IsValid() {
			c.oob = appendLocal(c.oob, c.v6, p.Local)
		}
	}
	for len(data) > 0 {
		n := min(segment, len(data))
		if err := c.send(data[:n], to); err != nil {
			return c.gaveUp(p, len(data), segment, err)
		}
		data = data[n:]
	}
	return nil
}

// send sends one datagram; an error is one of the way as a whole.
func (c *portableConn) send(datagram []byte, to unix.Sockaddr) error {
	err := c.sendOnce(datagram, to)
	if byICMP(err) {
		// Try again: it may be about an earlier datagram.
		first := err
		if err = c.sendOnce(datagram, to); err != first {
			c.icmpErrors.Add(1)
		}
	}
	if err == nil {
		c.wrote(len(datagram), len(datagram))
		return nil
	}
	return c.lost(len(datagram), len(datagram), err)
}

// sendOnce does not go through package net, whose writes wait until there is
// room: one link's full queue would hold up the others.
func (c *portableConn) sendOnce(datagram []byte, to unix.Sockaddr) error {
	var err error
	writeErr := c.raw.Write(func(fd uintptr) bool {
		for {
			err = unix.Sendmsg(int(fd), datagram, c.oob, to, unix.MSG_DONTWAIT)
			if err != unix.EINTR {
				return true
			}
		}
	})
	if writeErr != nil {
		return writeErr
	}
	return err
}

// sockaddr returns an address in the form that x/sys takes, for a socket of
// the given family.
func sockaddr(v6 bool, a netip.AddrPort) unix.Sockaddr {
	if !v6 {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), ZoneId: zoneIndex(a.Addr().Zone()), Addr: a.Addr().As16()}
}

// addrPortOf reads an address in the form that x/sys gives. Its zone is like
// rawAddr's.
func addrPortOf(s unix.Sockaddr) netip.AddrPort {
	switch s := s.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(withScope(netip.AddrFrom16(s.Addr).Unmap(), s.ZoneId), uint16(s.Port))
	}
	return netip.AddrPort{}
}
