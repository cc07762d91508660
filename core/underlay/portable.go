package underlay

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
)

// writePatience bounds how long a full queue holds up a Write: package net
// would wait until there is room.
const writePatience = 5 * time.Millisecond

// portableConn moves one datagram per call of package net.
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
		n, oobn, flags, from, err := c.udp.ReadMsgUDPAddrPort(b.one, b.oob)
		if err != nil && !c.closed.Load() && byICMP(err) {
			c.icmpErrors.Add(1)
			continue
		}
		if err != nil {
			return c.failed(err)
		}
		control, err := parseControl(b.oob[:oobn])
		if err != nil || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
			c.readTruncated.Add(1)
			continue
		}
		p := core.Path{Remote: c.remote}
		if !c.connected() {
			p = core.Path{Local: control.local, Remote: unmapPort(from)}
		}
		b.add(b.one[:n], 0, p)
	}
	c.read(b)
	return nil
}

func (c *portableConn) Write(data []byte, segment int, p core.Path) error {
	if len(data) == 0 {
		return nil
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	segment = segmentOf(data, segment)
	c.oob = c.oob[:0]
	to := netip.AddrPort{}
	if !c.connected() {
		to = p.Remote
		if err := reaches(c.v6, to, p.Local); err != nil {
			return c.gaveUp(p, len(data), segment, err)
		}
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
func (c *portableConn) send(datagram []byte, to netip.AddrPort) error {
	err := c.sendOnce(datagram, to)
	if err != nil && byICMP(err) {
		// Try again: it may be about an earlier datagram.
		first := err
		if err = c.sendOnce(datagram, to); !errors.Is(err, errors.Unwrap(first)) {
			c.icmpErrors.Add(1)
		}
	}
	if err == nil {
		c.wrote(len(datagram), len(datagram))
		return nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = unix.EAGAIN
	}
	return c.lost(len(datagram), len(datagram), err)
}

func (c *portableConn) sendOnce(datagram []byte, to netip.AddrPort) error {
	if err := c.udp.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return err
	}
	_, _, err := c.udp.WriteMsgUDPAddrPort(datagram, c.oob, to)
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
