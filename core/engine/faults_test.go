package engine

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// kill ends a client without a goodbye, as kill -9 does.
func (c *testClient) kill() {
	c.t.Helper()
	c.c.mu.Lock()
	for _, l := range c.c.links {
		if l.conn != nil {
			_ = l.conn.tcp.Close()
		}
	}
	c.c.mu.Unlock()
	c.end()
}

// mutable is a connection that can fall silent: what is written goes nowhere,
// and nothing comes.
type mutable struct {
	net.Conn
	muted, closed chan struct{}
	once          sync.Once
}

func (m *mutable) silent() bool {
	select {
	case <-m.muted:
		return true
	default:
		return false
	}
}

func (m *mutable) Write(b []byte) (int, error) {
	if m.silent() {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

func (m *mutable) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	if m.silent() {
		<-m.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (m *mutable) Close() error {
	m.once.Do(func() { close(m.closed) })
	return m.Conn.Close()
}

// unpluggable is a connection over an interface that can vanish: then nothing tells
// the other end that it was closed.
type unpluggable struct {
	net.Conn
	gone *atomic.Bool
}

func (u *unpluggable) Close() error {
	if u.gone.Load() {
		return u.SetDeadline(time.Unix(1, 0))
	}
	return u.Conn.Close()
}

// lose loses the datagrams from and to a socket.
func lose(address string) underlay.Filter {
	gone := netip.MustParseAddrPort(address)
	return func(from, to netip.AddrPort, _ []byte) error {
		if from == gone || to == gone {
			return underlay.ErrLost
		}
		return nil
	}
}

// mutedClient is a client with one link, up, whose connections of now mute makes
// fall silent; those it makes later are not.
func (w *world) mutedClient(key control.PrivateKey) (c *testClient, mute func()) {
	w.t.Helper()
	var first *mutable
	c = w.client(key, func(c *Client) {
		dial := c.deps.dialTCP
		c.deps.dialTCP = func(ctx context.Context, o underlay.Options) (net.Conn, error) {
			nc, err := dial(ctx, o)
			if err != nil || first != nil {
				return nc, err
			}
			first = &mutable{Conn: nc, muted: make(chan struct{}), closed: make(chan struct{})}
			return first, nil
		}
	}, iface("wlan0", 1))
	c.waitLinks("wlan0")
	return c, func() {
		w.datagrams.SetFilter(lose(c.Status().Links[0].Address))
		close(first.muted)
	}
}
