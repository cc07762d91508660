package engine

import (
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/qos"
)

func qosRules(t *testing.T, texts ...qos.Text) []qos.Rule {
	t.Helper()
	rules, err := qos.ParseAll(texts)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// followed is how many rules the server's only client has in force there.
func (s *testServer) followed() int {
	if clients := s.Status().Clients; len(clients) == 1 {
		return clients[0].QoS.Rules
	}
	return -1
}

// TestQoSRulesReachTheServer: rules of the configuration, of commands and of a
// reload; a server that does not allow them, from the start and later.
func TestQoSRulesReachTheServer(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil, iface("wlan0", 1), iface("wwan0", 2))
	client.waitLinks("wlan0", "wwan0")
	if st := client.Status().Session.QoS; st.Mode != config.QoSQueue || st.Rules != 0 {
		t.Errorf("without rules: %+v", st)
	}
	change := func(q QoSChange) (QoSRules, error) { return client.c.changeQoS(q) }
	add := func(text qos.Text, at int) {
		t.Helper()
		if _, err := change(QoSChange{Add: &text, At: at}); err != nil {
			t.Fatal(err)
		}
	}
	add(qos.Text{Port: "443", Priority: 1}, 0)
	add(qos.Text{Protocol: "icmp", Latency: "low"}, 1)
	eventually(t, "both rules are at the server", func() bool { return server.followed() == 2 })
	client.refusesChanges()
	got, err := change(QoSChange{Remove: 1})
	if err != nil || len(got.List) != 1 || got.List[0].Port != "443" || got.Mode != config.QoSQueue {
		t.Errorf("after a removal: %+v, %v", got, err)
	}
	eventually(t, "one rule is at the server", func() bool { return server.followed() == 1 })

	next := *server.s.cfg
	next.AllowQoS = false
	if err := server.s.Reload(&next); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client is on its own", func() bool {
		st := client.Status().Session.QoS
		return st.Mode == config.QoSWindow && strings.Contains(st.Reason, "qos.allow is false") && server.followed() == 0
	})
	allowed := next
	allowed.AllowQoS = true
	if err := server.s.Reload(&allowed); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server follows again", func() bool {
		return client.Status().Session.QoS.Mode == config.QoSQueue && server.followed() == 1
	})
	off := *client.c.config()
	off.QoS = config.QoS{Mode: config.QoSOff, Rules: qosRules(t, qos.Text{Priority: 1})}
	if err := client.c.Reload(&off); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is off", func() bool { return client.Status().Session.QoS.Mode == config.QoSOff && server.followed() == 0 })
}

// refusesChanges asks a client that has two rules for changes that cannot be.
func (c *testClient) refusesChanges() {
	c.t.Helper()
	for _, refused := range []struct {
		change QoSChange
		want   string
	}{
		{QoSChange{Add: &qos.Text{Port: "443", Protocol: "tcp", Priority: 2}}, "rule 3: can never match: rule 2"},
		{QoSChange{Add: &qos.Text{}}, "rule 3: priority: is missing"},
		{QoSChange{Add: &qos.Text{Priority: 1}, At: 4}, "there is no place 4 for a rule: must be 1..3"},
		{QoSChange{Add: &qos.Text{Priority: 1}, Remove: 1}, "one at a time"},
		{QoSChange{Remove: 3}, "there is no rule 3: there are 2"},
	} {
		if _, err := c.c.changeQoS(refused.change); err == nil || !strings.Contains(err.Error(), refused.want) {
			c.t.Errorf("%+v: %v, want %q", refused.change, err, refused.want)
		}
	}
}

// TestQoSOfTheConfiguration: a new session begins with the rules of the file.
func TestQoSOfTheConfiguration(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(func(c *config.Server) { c.AllowQoS = false }, key)
	client := w.client(key, func(c *Client) {
		c.qos = config.QoS{Mode: config.QoSQueue, Rules: qosRules(t, qos.Text{Priority: 1})}
	}, iface("wlan0", 1))
	client.waitLinks("wlan0")
	eventually(t, "the server has refused", func() bool { return client.Status().Session.QoS.Mode == config.QoSWindow })
	if n := server.followed(); n != 0 {
		t.Errorf("the server follows %d rules", n)
	}
}
