package engine

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/underlay"
)

var (
	gateway = netip.MustParseAddr("10.8.0.1")
	outside = netip.MustParseAddr("192.0.2.1")
)

func TestOneLink(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(func(c *config.Server) { c.DNS = []netip.Addr{gateway} }, key)
	client := w.client(key, nil, iface("wlan0", 1))
	client.waitLinks("wlan0")
	me := client.address()
	crosses(t, client.process, server.process, me, outside, "up")
	crosses(t, server.process, client.process, outside, me, "down")

	plan := client.host.clients[0]
	if len(plan.Addresses) != 2 || plan.MTU != 1400 || len(plan.DNS) != 1 || !plan.Default {
		t.Errorf("plan of the client's host: %+v", plan)
	}
	forward := server.host.servers[0]
	if len(forward.Addresses) != 2 || forward.Addresses[0].String() != "10.8.0.1/24" || len(forward.Masquerade) != 2 {
		t.Errorf("plan of the server's host: %+v", forward)
	}
	st := client.Status()
	if st.Session.MTU != 1400 || st.Session.ClientID != 2 || st.Session.Suite == "" || st.Links[0].Address == "" {
		t.Errorf("status %+v", st)
	}
	client.end()
	eventually(t, "the server has forgotten the client", func() bool { return len(server.Status().Clients) == 0 })
	if got := server.Status().Counters["rx_packets"]; got == 0 {
		t.Error("the counters of the session that ended are lost")
	}
}

func TestLinksComeAndGo(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil) // no interface at start
	eventually(t, "the client says that it has no interface", func() bool {
		st := client.Status()
		return st.State == Connecting && strings.Contains(st.Reason, "no usable interface")
	})
	wlan, wwan := iface("wlan0", 1), iface("wwan0", 2)
	client.plug(wlan)
	client.waitLinks("wlan0")
	session := client.Status().Session.ID
	client.plug(wlan, wwan)
	client.waitLinks("wlan0", "wwan0")
	client.plug(wwan)
	client.waitLinks("wwan0")
	crosses(t, client.process, server.process, client.address(), outside, "over the second")
	client.plug()
	eventually(t, "no link", func() bool { return client.Status().State == NoLink })
	client.plug(iface("eth9", 3))
	client.waitLinks("eth9")
	crosses(t, server.process, client.process, outside, client.address(), "over a new one")
	if got := client.Status().Session.ID; got != session {
		t.Errorf("the session %s was replaced by %s", session, got)
	}
}

func TestAddressOfLinkChanges(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil, iface("wlan0", 1))
	client.waitLinks("wlan0")
	before := client.Status().Links[0].Address
	moved := iface("wlan0", 1)
	moved.Addrs4 = []netip.Addr{netip.MustParseAddr("127.0.1.99")}
	client.plug(moved)
	eventually(t, "the link uses the new address", func() bool {
		links := client.Status().Links
		return len(links) == 1 && strings.HasPrefix(links[0].Address, "127.0.1.99:") && links[0].State == "up"
	})
	t.Logf("%s -> %s", before, client.Status().Links[0].Address)
	crosses(t, client.process, server.process, client.address(), outside, "moved")
	crosses(t, server.process, client.process, outside, client.address(), "back")
}

func TestServerRestarts(t *testing.T) {
	w, key, other := newWorld(t), newKey(t), newKey(t)
	server := w.server(nil, other, key)
	// The other client takes the first address, so that ours is not the one
	// that anybody would get.
	w.client(other, nil, iface("eth0", 7)).waitLinks("eth0")
	client := w.client(key, nil, iface("wlan0", 1), iface("wwan0", 2))
	client.waitLinks("wlan0", "wwan0")
	before := client.address()
	server.end()
	eventually(t, "links are down", func() bool { return client.Status().State == NoLink })
	server = w.server(nil, other, key)
	client.waitLinks("wlan0", "wwan0")
	if got := client.address(); got != before {
		t.Errorf("address %v became %v", before, got)
	}
	if n := len(client.host.clients); n != 1 {
		t.Errorf("the host was configured %d times although nothing changed", n)
	}
	crosses(t, client.process, server.process, before, outside, "after the restart")
}

func TestClientsAreKeptApart(t *testing.T) {
	w, one, two := newWorld(t), newKey(t), newKey(t)
	server := w.server(nil, one, two)
	a, b := w.client(one, nil, iface("wlan0", 1)), w.client(two, nil, iface("wlan0", 2))
	a.waitLinks("wlan0")
	b.waitLinks("wlan0")
	// A client that does not check itself.
	sendAs := func(src, dst netip.Addr) {
		s := a.c.current.Load()
		s.driver.HandlePackets([]core.Packet{udpPacket(src, dst, "bad")})
	}
	dropped := func(name string, src, dst netip.Addr) {
		t.Helper()
		before := server.Status().Counters[name]
		eventually(t, name, func() bool {
			sendAs(src, dst)
			return server.Status().Counters[name] > before
		})
	}
	ula := netip.MustParseAddr("fd4d:4c::2")
	dropped("drop_spoofed", b.address(), outside)
	dropped("drop_spoofed", ula, ula) // an IPv4 header with cut-off addresses
	dropped("drop_isolated", a.address(), b.address())
	crosses(t, a.process, server.process, a.address(), gateway, "the server itself")
	crosses(t, a.process, server.process, a.address(), outside, "the internet")

	before := a.Status().Counters["drop_foreign_source"]
	a.tun.Inject(udpPacket(b.address(), outside, "spoofed"))
	eventually(t, "the client drops it itself", func() bool {
		return a.Status().Counters["drop_foreign_source"] > before
	})
}

func TestClientToClient(t *testing.T) {
	w, one, two := newWorld(t), newKey(t), newKey(t)
	server := w.server(func(c *config.Server) { c.ClientToClient = true }, one, two)
	a, b := w.client(one, nil, iface("wlan0", 1)), w.client(two, nil, iface("wlan0", 2))
	a.waitLinks("wlan0")
	b.waitLinks("wlan0")
	// The kernel would route it back into the TUN.
	crosses(t, a.process, server.process, a.address(), b.address(), "hello")
	crosses(t, server.process, b.process, a.address(), b.address(), "hello")
}

func TestPoolExhausted(t *testing.T) {
	w, one, two := newWorld(t), newKey(t), newKey(t)
	server := w.server(func(c *config.Server) {
		c.Pool4, c.Pool6 = netip.MustParsePrefix("10.9.0.0/30"), netip.Prefix{}
	}, one, two)
	a := w.client(one, nil, iface("wlan0", 1))
	a.waitLinks("wlan0")
	b := w.client(two, nil, iface("wlan0", 2))
	const want = "the address pool is used up: all 1 addresses of 10.9.0.0/30 are held by connected clients"
	eventually(t, "the client says why", func() bool { return strings.Contains(b.Status().Reason, want) })
	eventually(t, "the server says it", func() bool { return strings.Contains(server.log.String(), want) })
	a.end()
	b.waitLinks("wlan0") // the address came back
}

func TestWrongServerKey(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	w.serverPublic = newKey(t).Public()
	client := w.client(key, nil, iface("wlan0", 1))
	eventually(t, "the client says why", func() bool {
		st := client.Status()
		return st.State == Failing && strings.Contains(st.Reason, "the configuration pins "+w.serverPublic.String()) &&
			strings.Contains(st.Links[0].LastError, "presented key "+server.s.cfg.PrivateKey.Public().String())
	})
	eventually(t, "the server says why", func() bool {
		return strings.Contains(server.log.String(), "expects a server with another key")
	})
}

func TestUnknownClientKey(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, newKey(t))
	client := w.client(key, nil, iface("wlan0", 1))
	eventually(t, "the client says why", func() bool {
		st := client.Status()
		return st.State == Failing && strings.Contains(st.Reason, "does not know this client's key "+key.Public().String())
	})
	eventually(t, "the server says it", func() bool {
		return strings.Contains(server.log.String(), "unknown key "+key.Public().String())
	})
	// Reloading the server with the key added lets it in.
	next := *server.s.cfg
	next.Clients = append(next.Clients, config.ServerClient{Name: "new", PublicKey: key.Public()})
	if err := server.s.Reload(&next); err != nil {
		t.Fatal(err)
	}
	client.plug(iface("wlan0", 1)) // or wait: a key is not tried again soon
	client.waitLinks("wlan0")
}

func TestReload(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil, iface("wlan0", 1), iface("wwan0", 2))
	client.waitLinks("wlan0", "wwan0")
	next := *client.c.cfg
	next.Strategy = testStrategy("minrtt")
	next.Strategy.Scheduler.Down = "redundant"
	next.Strategy.Reorder.Up = "none"
	if err := client.c.Reload(&next); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the strategy is in force on both ends", func() bool {
		c, s := client.Status().Session, server.Status().Clients[0]
		return c.Scheduler == "minrtt" && c.Reorder == "global" && s.Scheduler == "redundant" && s.Reorder == "none"
	})
	crosses(t, client.process, server.process, client.address(), outside, "still")

	denied := next
	denied.Interfaces.Deny = []string{"wwan*"}
	if err := client.c.Reload(&denied); err != nil {
		t.Fatal(err)
	}
	client.waitLinks("wlan0")

	restart := denied
	restart.Interfaces.Deny = nil
	restart.TUN.MTU = 1300
	err := client.c.Reload(&restart)
	if err == nil || !strings.Contains(err.Error(), "need a restart, nothing was applied: tun") {
		t.Errorf("error %v", err)
	}
	client.waitLinks("wlan0") // the deny list is as it was
}

func TestServerPolicy(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(func(c *config.Server) { c.AllowClientStrategy = false; c.Strategy = testStrategy("minrtt") }, key)
	client := w.client(key, nil, iface("wlan0", 1))
	client.waitLinks("wlan0")
	if c, s := client.Status().Session.Scheduler, server.Status().Clients[0].Scheduler; c != "minrtt" || s != "minrtt" {
		t.Errorf("client %s, server %s", c, s)
	}
}

func TestNameResolvesOnOneLinkOnly(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	w.server(nil, key)
	client := w.client(key, func(c *Client) {
		c.cfg.Server.Host = "vpn.example.org"
		c.deps.lookup = func(_ context.Context, over underlay.Options, _ string) ([]netip.Addr, error) {
			if over.Device == "wwan0" {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
			return nil, errors.New("no such host")
		}
	}, iface("wlan0", 1))
	eventually(t, "the client says why", func() bool {
		return strings.Contains(client.Status().Reason, "name vpn.example.org does not resolve over wlan0: no such host")
	})
	client.plug(iface("wlan0", 1), iface("wwan0", 2))
	client.waitLinks("wlan0", "wwan0")
}

func TestSecondClientWithTheSameKey(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	first := w.client(key, nil, iface("wlan0", 1))
	first.waitLinks("wlan0")
	first.stop() // without waiting: both may be there for a moment
	second := w.client(key, nil, iface("wlan0", 2))
	second.waitLinks("wlan0")
	if n := len(server.Status().Clients); n != 1 {
		t.Errorf("%d sessions for one key", n)
	}
	crosses(t, second.process, server.process, second.address(), outside, "second")
}

func TestAgree(t *testing.T) {
	own, asked := testStrategy("wrr"), testStrategy("redundant")
	asked.Scheduler.Up, asked.Reorder.Down, asked.Equalize, asked.Reports = "from-the-future", "too", "", ""
	want := testStrategy("redundant")
	want.Scheduler.Up = "wrr"
	if got := agree(asked, own); got != want {
		t.Errorf("agreed on %+v, want %+v", got, want)
	}
}

// TestServerKnowsSmallerMTU: a client may want smaller packets than the server's TUN
// takes, and those who send to it hear so from the server's kernel.
func TestServerKnowsSmallerMTU(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, func(c *Client) { c.cfg.TUN.MTU = 1300 }, iface("wlan0", 1))
	client.waitLinks("wlan0")
	limits := func() map[netip.Addr]int {
		server.host.mu.Lock()
		defer server.host.mu.Unlock()
		return maps.Clone(server.host.limits)
	}
	if got := limits(); len(got) != 2 || got[client.address()] != 1300 {
		t.Errorf("limits %v", got)
	}
	client.end()
	eventually(t, "the limits are gone", func() bool { return len(limits()) == 0 })
}
