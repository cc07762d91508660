package engine

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
)

// role returns the role that an end gives a link, "" if it has none.
func role(links []LinkStatus, name string) string {
	for _, l := range links {
		if l.Name == name && l.Control == controlUp {
			return l.Role
		}
	}
	return ""
}

// waitRole waits until client and server give a link the same role.
func waitRole(t *testing.T, s *testServer, c *testClient, name, want string) {
	t.Helper()
	eventually(t, name+" is "+want, func() bool {
		clients := s.Status().Clients
		return len(clients) == 1 && role(clients[0].Links, name) == want && role(c.Status().Links, name) == want
	})
}

func TestLinkRoles(t *testing.T) {
	w := newWorld(t)
	key := newKey(t)
	s := w.server(nil, key)
	c := w.client(key, func(c *Client) {
		c.cfg.Links = []config.LinkRule{{Name: "b*", LinkPolicy: config.LinkPolicy{Role: "backup", CapDown: 8e6}}}
	}, iface("a", 1), iface("b", 2))
	c.waitLinks("a", "b")
	waitRole(t, s, c, "a", "active")
	waitRole(t, s, c, "b", "backup")

	set := func(name string, change config.LinkChange) LinkSettings {
		t.Helper()
		got, err := c.c.setLink(LinkSetArguments{Name: name, LinkChange: change})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	set("b", config.LinkChange{Role: "active"})
	waitRole(t, s, c, "b", "active")
	if got := set("a", config.LinkChange{Role: "off"}); got.Role != "off" || got.State != "unused" {
		t.Errorf("switched off: %+v", got)
	}
	c.waitLinks("b")
	if why := c.Status().Rejected["a"]; !strings.HasPrefix(why, "is off") {
		t.Errorf("switched off, and rejected because %q", why)
	}
	eventually(t, "the server has one link", func() bool { return len(s.Status().Clients[0].Links) == 1 })
	crosses(t, c.process, s.process, c.address(), s.s.gateway[0].Addr(), "over the other one")
	set("a", config.LinkChange{Role: "backup", CapUp: "1 Mbit/s", MaxRTT: "200ms"})
	c.waitLinks("a", "b")
	waitRole(t, s, c, "a", "backup")

	list, err := c.c.listLinks(struct{}{})
	if err != nil || len(list) != 2 || list[0].CapUp != 1e6 || list[0].MaxRTT != 0.2 || list[1].CapDown != 8e6 {
		t.Errorf("%+v, %v", list, err)
	}
	for _, r := range []LinkSetArguments{
		{Name: "x"}, {Name: "a", LinkChange: config.LinkChange{Role: "spare"}},
		{Name: "a", LinkChange: config.LinkChange{CapUp: "fast", ResetDay: "0"}},
	} {
		if _, err := c.c.setLink(r); err == nil {
			t.Errorf("%+v is accepted", r)
		} else {
			t.Log(err)
		}
	}

	// What the file says counts again after it was read again.
	next := *c.c.config()
	if err := c.c.Reload(&next); err != nil {
		t.Fatal(err)
	}
	waitRole(t, s, c, "a", "active")
	waitRole(t, s, c, "b", "backup")
}

func TestQuota(t *testing.T) {
	w := newWorld(t)
	key := newKey(t)
	s := w.server(nil, key)
	limited := config.LinkPolicy{Role: "active", Quota: 200_000, ResetDay: 1, AtQuota: "off"}
	file := filepath.Join(t.TempDir(), "usage.json")
	options := func(c *Client) {
		c.cfg.UsageFile = file
		c.cfg.Links = []config.LinkRule{{Name: "b", LinkPolicy: limited}}
	}
	c := w.client(key, options, iface("a", 1), iface("b", 2))
	c.waitLinks("a", "b")
	text := strings.Repeat("x", 1200)
	for deadline := time.Now().Add(patience); c.Status().Rejected["b"] == ""; time.Sleep(time.Millisecond) {
		c.tun.Inject(udpPacket(c.address(), s.s.gateway[0].Addr(), text))
		if time.Now().After(deadline) {
			t.Fatal("the quota has no end")
		}
	}
	if why := c.Status().Rejected["b"]; !strings.Contains(why, "its quota of 200 kB is used up until") {
		t.Error(why)
	}
	c.end()

	c = w.client(key, options, iface("a", 1), iface("b", 2))
	c.waitLinks("a")
	if why := c.Status().Rejected["b"]; !strings.Contains(why, "its quota") {
		t.Errorf("after a restart: %q", why)
	}
	if _, err := c.c.setLink(LinkSetArguments{Name: "b", ResetUsage: true}); err != nil {
		t.Fatal(err)
	}
	c.waitLinks("a", "b")
}
