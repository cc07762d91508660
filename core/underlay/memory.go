package underlay

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
)

// ErrLost is what a Filter returns for a datagram that is lost on its way.
var ErrLost = errors.New("underlay: lost")

// Filter decides what becomes of a datagram in a Memory: nil delivers it,
// ErrLost loses it silently, and any other error is returned by the Write.
type Filter func(from, to netip.AddrPort, data []byte) error

// Memory is a network in memory for tests, without delay. It ignores devices
// and marks.
type Memory struct {
	depth int

	mu      sync.Mutex
	sockets map[netip.AddrPort]*memoryConn
	filter  Filter
	next    uint16 // ephemeral port
}

// NewMemory makes a network whose sockets hold up to depth received datagrams;
// more are dropped and counted by the sender as WriteNoBuffer.
func NewMemory(depth int) *Memory {
	return &Memory{depth: depth, sockets: map[netip.AddrPort]*memoryConn{}, next: 49152}
}

// SetFilter sets what decides about every datagram from now on; nil delivers
// all.
func (m *Memory) SetFilter(f Filter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.filter = f
}

// Open opens a socket as the function Open does. Without a local address it
// has the loopback address.
func (m *Memory) Open(o Options) (Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	local, remote := unmapPort(o.Listen), unmapPort(o.Remote)
	switch {
	case remote.IsValid() && !local.IsValid():
		local = netip.AddrPortFrom(loopback(remote.Addr()), local.Port())
	case !local.IsValid():
		local = netip.AddrPortFrom(netip.IPv6Unspecified(), local.Port())
	}
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), m.next)
		m.next++
	}
	if m.sockets[local] != nil {
		return nil, explain(describe(o), unix.EADDRINUSE)
	}
	c := &memoryConn{
		network: m,
		local:   local,
		remote:  remote,
		queue:   make(chan Datagram, m.depth),
		closed:  make(chan struct{}),
	}
	m.sockets[local] = c
	return c, nil
}

// find returns the socket that receives what is sent to an address.
func (m *Memory) find(to netip.AddrPort) *memoryConn {
	for _, ip := range []netip.Addr{to.Addr(), netip.IPv6Unspecified(), netip.IPv4Unspecified()} {
		if c := m.sockets[netip.AddrPortFrom(ip, to.Port())]; c != nil {
			return c
		}
	}
	return nil
}

func loopback(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// memoryConn is a socket of a Memory.
type memoryConn struct {
	counters
	network       *Memory
	local, remote netip.AddrPort
	queue         chan Datagram
	once          sync.Once
	closed        chan struct{}
}

func (c *memoryConn) LocalAddr() netip.AddrPort { return c.local }

func (c *memoryConn) Info() Info { return Info{Mode: ModePortable, Reason: "in memory"} }

func (c *memoryConn) Close() error {
	c.once.Do(func() {
		c.network.mu.Lock()
		defer c.network.mu.Unlock()
		delete(c.network.sockets, c.local)
		close(c.closed)
	})
	return nil
}

func (c *memoryConn) Read(b *Batch) error {
	b.Datagrams = b.Datagrams[:0]
	select {
	case <-c.closed:
		return net.ErrClosed
	case d := <-c.queue:
		b.Datagrams = append(b.Datagrams, d)
	}
	for more := true; more && len(b.Datagrams) < ringMessages; {
		select {
		case d := <-c.queue:
			b.Datagrams = append(b.Datagrams, d)
		default:
			more = false
		}
	}
	c.read(b)
	return nil
}

func (c *memoryConn) Write(data []byte, segment int, p core.Path) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	from, to := c.route(p)
	if !to.IsValid() {
		return fmt.Errorf("underlay: send from %s: %w", from, unix.EDESTADDRREQ)
	}
	segment = segmentOf(data, segment)
	for len(data) > 0 {
		n := min(segment, len(data))
		if err := c.deliver(from, to, data[:n]); err != nil {
			c.writeFailed.Add(datagrams(len(data), segment))
			return fmt.Errorf("underlay: send from %s to %s: %w", from, to, err)
		}
		data = data[n:]
	}
	return nil
}

// route returns the addresses that a datagram of the path carries.
func (c *memoryConn) route(p core.Path) (from, to netip.AddrPort) {
	from, to = c.local, unmapPort(p.Remote)
	if c.remote.IsValid() {
		return from, c.remote
	}
	if p.Local.IsValid() {
		from = netip.AddrPortFrom(p.Local, from.Port())
	} else if from.Addr().IsUnspecified() {
		from = netip.AddrPortFrom(loopback(to.Addr()), from.Port())
	}
	return from, to
}

// deliver brings one datagram to its receiver, if the filter lets it and there
// is one.
func (c *memoryConn) deliver(from, to netip.AddrPort, data []byte) error {
	c.network.mu.Lock()
	filter, receiver := c.network.filter, c.network.find(to)
	c.network.mu.Unlock()
	if filter != nil {
		if err := filter(from, to, data); err != nil && !errors.Is(err, ErrLost) {
			return err
		} else if err != nil {
			receiver = nil
		}
	}
	if receiver == nil || receiver.remote.IsValid() && receiver.remote != from {
		c.wrote(len(data), len(data))
		return nil
	}
	d := Datagram{Data: bytes.Clone(data), Path: core.Path{Remote: from}}
	if !receiver.remote.IsValid() {
		d.Path.Local = to.Addr()
	}
	select {
	case receiver.queue <- d:
		c.wrote(len(data), len(data))
	default:
		c.writeNoBuffer.Add(1)
	}
	return nil
}
