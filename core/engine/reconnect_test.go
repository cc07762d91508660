package engine

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/underlay"
)

func TestBackoff(t *testing.T) {
	if d := backoff(0, nil); d < 100*time.Millisecond || d > 300*time.Millisecond {
		t.Errorf("the first retry comes after %v", d)
	}
	for tries := range 100 {
		d := backoff(tries, nil)
		if d < firstRetry*3/4 || d > lastRetry*5/4 {
			t.Errorf("backoff(%d) = %v", tries, d)
		}
	}
	if d := backoff(0, &control.WrongServerError{}); d < hopeless*3/4 {
		t.Errorf("a wrong key is tried again after %v", d)
	}
}

// TestPulse: a silent link is asked at once and given up when it does not
// answer, an idle one is asked now and then, one whose datagrams are answered is
// never given up.
func TestPulse(t *testing.T) {
	const step = lookEvery
	for _, c := range []struct {
		name     string
		overdue  func(at time.Duration) time.Duration
		answers  bool
		pings    int // in 20 s
		firstBad time.Duration
	}{
		{"idle", func(time.Duration) time.Duration { return 0 }, true, 4, 0},
		{"control does not answer, datagrams do", func(time.Duration) time.Duration { return 0 }, false, 4, 0},
		{"datagrams are lost, control answers", func(at time.Duration) time.Duration { return at }, true, 20, 0},
		{"all is silent", func(at time.Duration) time.Duration { return at }, false, 20, 3 * time.Second},
		{"slow answers", func(time.Duration) time.Duration { return overdueAfter / 2 }, false, 4, 0},
	} {
		p := newPulse(0)
		start := p.last
		heard, bad := start, time.Duration(0)
		pings := 0
		for at := step; at <= 20*time.Second; at += step {
			ping, dead := p.next(start.Add(at), heard, c.overdue(at))
			if ping {
				pings++
			}
			if ping && c.answers {
				heard = start.Add(at + step/2)
			}
			if dead && bad == 0 {
				bad = at
			}
		}
		if pings != c.pings || bad != c.firstBad {
			t.Errorf("%s: %d pings, given up after %v; want %d, %v", c.name, pings, bad, c.pings, c.firstBad)
		}
	}
}

// cables are the control connections of a client, as a test can cut them.
type cables struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *cables) dial(ctx context.Context, o underlay.Options) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(o.Listen)}
	nc, err := d.DialContext(ctx, "tcp", o.Remote.String())
	if err == nil {
		c.mu.Lock()
		c.conns = append(c.conns, nc)
		c.mu.Unlock()
	}
	return nc, err
}

// cut breaks all connections since the last cut for the client alone, as a NAT does.
func (c *cables) cut(t *testing.T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, nc := range c.conns {
		if err := nc.SetReadDeadline(time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	c.conns = nil
}

// TestControlConnectionIsReplaced: a link whose control connection alone is lost
// goes on carrying data.
func TestControlConnectionIsReplaced(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	var c cables
	client := w.client(key, func(cl *Client) { cl.deps.dialTCP = c.dial }, iface("wlan0", 1))
	client.waitLinks("wlan0")
	session, began := client.Status().Session.ID, time.Now()
	eventually(t, "the connection is old enough", func() bool { return time.Since(began) > replaceAfter })
	c.cut(t)
	eventually(t, "the control connection is replaced", func() bool { return server.s.counters.joins.Load() == 2 })
	client.waitLinks("wlan0")
	crosses(t, client.process, server.process, client.address(), outside, "to the server")
	crosses(t, server.process, client.process, outside, client.address(), "to the client")
	if n, s := client.c.counters.failures.Load(), client.Status().Session.ID; n > 0 || s != session {
		t.Errorf("the link failed %d times, session %s became %s", n, session, s)
	}
}

// TestSilentServerIsGivenUp: where neither datagrams nor the control connection
// are answered, the client does not wait for TCP to say so.
func TestSilentServerIsGivenUp(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client, mute := w.mutedClient(key)
	mute()
	eventually(t, "the control connection is replaced", func() bool { return server.s.counters.joins.Load() == 2 })
	client.waitLinks("wlan0")
	crosses(t, client.process, server.process, client.address(), outside, "after the silence")
}

// TestServerHearsOfLostLinks: what a lost link cannot tell the server itself, it
// hears over the others, and a link that is there anew stays.
func TestServerHearsOfLostLinks(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	var gone atomic.Bool
	client := w.client(key, func(c *Client) {
		dial := c.deps.dialTCP
		c.deps.dialTCP = func(ctx context.Context, o underlay.Options) (net.Conn, error) {
			nc, err := dial(ctx, o)
			if err != nil || o.Device == "eth0" {
				return nc, err
			}
			t.Cleanup(func() { _ = nc.Close() })
			return &unpluggable{nc, &gone}, nil
		}
	}, iface("eth0", 1), iface("wlan0", 2), iface("wwan0", 3))
	client.waitLinks("eth0", "wlan0", "wwan0")
	links := func() int { return len(server.Status().Clients[0].Links) }

	gone.Store(true)
	client.plug(iface("eth0", 1))
	eventually(t, "the server has one link", func() bool { return links() == 1 })
	if n := strings.Count(server.log.String(), "the client says over another link that it is gone"); n != 2 {
		t.Errorf("the server was told of %d links", n)
	}
	gone.Store(false)
	client.plug(iface("eth0", 1), iface("wlan0", 2))
	client.waitLinks("eth0", "wlan0")
	client.plug(iface("eth0", 1), iface("wlan0", 2), iface("wwan0", 3))
	client.waitLinks("eth0", "wlan0", "wwan0")
	gone.Store(true)
	client.plug(iface("eth0", 1), iface("wlan0", 2))
	eventually(t, "the server has two links", func() bool { return links() == 2 })
	crosses(t, client.process, server.process, client.address(), outside, "to the server")
}

// TestOpensWhereTheServerAnswers: an interface that leads nowhere does not keep
// the client from opening a session over another.
func TestOpensWhereTheServerAnswers(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	ends := make(chan error, 100)
	client := w.client(key, func(c *Client) {
		dial := c.deps.dialTCP
		c.deps.dialTCP = func(ctx context.Context, o underlay.Options) (net.Conn, error) {
			if o.Device != "wlan0" {
				return dial(ctx, o)
			}
			<-ctx.Done()
			ends <- ctx.Err()
			return nil, ctx.Err()
		}
	}, iface("wlan0", 1), iface("wwan0", 2))
	client.waitLinks("wwan0")
	select {
	case err := <-ends:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the attempt over the dead interface ended with %v before the session was opened", err)
		}
	case <-time.After(patience):
		t.Error("no attempt over the dead interface ended")
	}
	if n := server.s.counters.sessions.Load(); n != 1 {
		t.Errorf("%d sessions were opened", n)
	}
}

// TestPacketsWaitForTheNextSession: what was sent while an end was away is
// delivered when it is back, in another session.
func TestPacketsWaitForTheNextSession(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil, iface("wlan0", 1))
	client.waitLinks("wlan0")
	own := client.address()

	server.end()
	eventually(t, "the link is down", func() bool { return client.Status().State == NoLink })
	client.tun.Inject(udpPacket(own, outside, "while the server was away"))
	server = w.server(nil, key)
	arrives(t, server.process, "while the server was away")

	client.kill()
	eventually(t, "the server notices", func() bool { return len(server.Status().Clients[0].Links) == 0 })
	server.tun.Inject(udpPacket(outside, own, "while the client was away"))
	client = w.client(key, nil, iface("wlan0", 1))
	arrives(t, client.process, "while the client was away")
	if got := client.address(); got != own {
		t.Errorf("address %v became %v", own, got)
	}
}
