package underlay

import (
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
)

// fastConn moves runs of datagrams.
type fastConn struct {
	*socket

	readMu   sync.Mutex
	batch    *Batch // of the Read under way
	readErr  error
	readStep func(fd uintptr) bool

	writeMu sync.Mutex
	noGSO   atomic.Bool // sending a run failed; they go one by one until one does not
	sender  sender
}

// newFast turns on what the fast version needs.
func newFast(s *socket) (*fastConn, error) {
	var err error
	if controlErr := s.raw.Control(func(fd uintptr) {
		setTimes(int(fd))
		err = setOffload(int(fd))
	}); controlErr != nil {
		return nil, fmt.Errorf("underlay: %w", controlErr)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoFastMode, err)
	}
	c := &fastConn{socket: s}
	c.readStep = c.readSome
	c.sender.init(c)
	return c, nil
}

func (c *fastConn) Info() Info {
	info := Info{Mode: ModeFast, GSO: true, GRO: true, ReceiveBuffer: c.receiveBuffer, SendBuffer: c.sendBuffer}
	if c.noGSO.Load() {
		info.GSO = false
		info.Reason = "sending with UDP_SEGMENT failed (EIO): the interface cannot offload checksums"
	}
	return info
}

func (c *fastConn) Read(b *Batch) error {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if b.ring == nil {
		b.ring = newRing()
	}
	b.Datagrams = b.Datagrams[:0]
	c.batch, c.readErr = b, nil
	err := c.raw.Read(c.readStep)
	if err == nil {
		err = c.readErr
	}
	if err != nil {
		return c.failed(err)
	}
	c.read(b)
	return nil
}

// readSome receives what is there; false means to wait for more.
func (c *fastConn) readSome(fd uintptr) bool {
	for {
		n, errno := c.batch.ring.receive(fd)
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN:
			return false
		case byICMP(errno):
			c.icmpErrors.Add(1)
		case errno != 0:
			c.readErr = errno
			return true
		default:
			wall := wallClock()
			for i := range n {
				c.take(i, wall)
			}
			if len(c.batch.Datagrams) > 0 {
				return true
			}
		}
	}
}

// take adds the datagrams of one message, read at wall, to the batch.
func (c *fastConn) take(i int, wall int64) {
	r := c.batch.ring
	data, oob, whole := r.message(i)
	control, err := parseControl(oob)
	if !whole || err != nil {
		c.readTruncated.Add(1)
		return
	}
	p := core.Path{Remote: c.remote}
	if !c.connected() {
		p = core.Path{Local: control.local, Remote: r.names[i].addrPort()}
	}
	c.batch.add(data, control.segment, p, age(control.at, wall))
}
