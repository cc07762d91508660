package engine

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/qos"
)

// oneProcessor lets one goroutine run at a time: one that is started takes the
// place of the one started before it, and would overtake it.
func oneProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// answered adds a rule and waits for the server's answer: what either end has said
// over the first connection before has come.
func (c *testClient) answered(rule int) {
	c.t.Helper()
	text := qos.Text{Port: strconv.Itoa(1000 + rule), Priority: 1}
	if _, err := c.c.changeQoS(QoSChange{Add: &text}); err != nil {
		c.t.Fatal(err)
	}
	eventually(c.t, "the server has answered", func() bool {
		s := c.c.current.Load()
		c.c.mu.Lock()
		defer c.c.mu.Unlock()
		return s != nil && s.qos.settled == c.c.qosVersion
	})
}

// TestNewestPolicyWins: of changes of a link close together the last is in force, at
// both ends.
func TestNewestPolicyWins(t *testing.T) {
	oneProcessor(t)
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil, iface("wlan0", 1))
	client.waitLinks("wlan0")
	roles := []string{config.RoleBackup, config.RoleActive}
	for n := range 20 {
		last, other := roles[n%2], roles[(n+1)%2]
		for _, role := range []string{last, other, last} {
			change := LinkSetArguments{Name: "wlan0", LinkChange: config.LinkChange{Role: role}}
			if _, err := client.c.setLink(change); err != nil {
				t.Fatal(err)
			}
		}
		client.answered(n)
		if got := role(server.Status().Clients[0].Links, "wlan0"); got != last {
			t.Fatalf("change %d: the link is %s at the server, want %s", n, got, last)
		}
	}
}

// TestPolicyOfReplacedConnection: what comes over a connection that another has
// replaced is older than the other's Hello.
func TestPolicyOfReplacedConnection(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil, iface("wlan0", 1))
	client.waitLinks("wlan0")
	replaced := &serverLink{session: server.s.sessions[key.Public()]}
	server.s.changePolicy(replaced, control.LinkPolicy{Rules: control.LinkRules{Role: config.RoleBackup}})
	if got := role(server.Status().Clients[0].Links, "wlan0"); got != config.RoleActive {
		t.Errorf("the link is %s at the server", got)
	}
}

// TestNewestStrategyWins: of configurations that the server reads one after the
// other the last is in force at the client.
func TestNewestStrategyWins(t *testing.T) {
	oneProcessor(t)
	w, key := newWorld(t), newKey(t)
	server := w.server(func(c *config.Server) { c.AllowClientStrategy = false }, key)
	client := w.client(key, nil, iface("wlan0", 1), iface("wwan0", 2))
	client.waitLinks("wlan0", "wwan0")
	names := []string{"minrtt", "redundant"}
	for n := range 20 {
		last, other := names[n%2], names[(n+1)%2]
		for _, name := range []string{last, other, last} {
			next := *server.s.cfg
			next.Strategy = testStrategy(name)
			if err := server.s.Reload(&next); err != nil {
				t.Fatal(err)
			}
		}
		client.answered(n)
		if got := client.Status().Session.Scheduler; got != last {
			t.Fatalf("reload %d: the client's scheduler is %s, want %s", n, got, last)
		}
	}
}

// TestLostWishIsRepeated: what a client asks for over a connection that is no more
// it asks for again over the next.
func TestLostWishIsRepeated(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client, mute := w.mutedClient(key)
	mute()
	next := *client.c.config()
	next.Strategy = testStrategy("minrtt")
	if err := client.c.Reload(&next); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the strategy is in force on both ends", func() bool {
		return client.Status().Session.Scheduler == "minrtt" && server.Status().Clients[0].Scheduler == "minrtt"
	})
}
