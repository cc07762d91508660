package engine

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
)

// wallClock is the time of day, some years off.
type wallClock struct{ years atomic.Int32 }

func (c *wallClock) now() time.Time { return time.Now().AddDate(int(c.years.Load()), 0, 0) }

// TestClocksMayBeSet: an end whose clock is set by a year, while a session lives or
// while it is away, comes back as if nothing were. (That TLS takes keys whatever
// time it is, package control shows.)
func TestClocksMayBeSet(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	var c cables
	quota := config.LinkPolicy{Role: "active", Quota: 1e9, ResetDay: 1, AtQuota: "off"}
	usage := filepath.Join(t.TempDir(), "usage.json")
	options := func(cl *Client) {
		cl.deps.dialTCP = c.dial
		cl.cfg.UsageFile = usage
		cl.cfg.Links = []config.LinkRule{{Name: "wlan0", LinkPolicy: quota}}
	}
	server := w.server(nil, key)
	client := w.client(key, options, iface("wlan0", 1))
	client.waitLinks("wlan0")
	session, own := client.Status().Session.ID, client.address()
	works := func(when string) {
		t.Helper()
		client.waitLinks("wlan0")
		crosses(t, client.process, server.process, own, outside, "to the server "+when)
		crosses(t, server.process, client.process, outside, own, "to the client "+when)
	}
	for i, step := range []struct {
		when           string
		server, client int32
	}{
		{"the server a year ahead", 1, 0},
		{"the client a year behind", 1, -1},
		{"the server back, and the client ahead", 0, 1},
		{"the server behind", -1, 1},
	} {
		began := time.Now()
		w.serverClock.years.Store(step.server)
		w.clientClock.years.Store(step.client)
		works(step.when)
		eventually(t, "the connection is old enough", func() bool { return time.Since(began) > replaceAfter })
		c.cut(t)
		eventually(t, "the control connection is replaced", func() bool { return server.s.counters.joins.Load() == uint64(i+2) })
		works("again, " + step.when)
	}
	if now := client.Status().Session.ID; now != session {
		t.Errorf("session %s became %s", session, now)
	}

	server.end()
	w.serverClock.years.Store(1)
	server = w.server(nil, key)
	works("after the server's restart, two years later")
	client.end()
	w.clientClock.years.Store(-1)
	client = w.client(key, options, iface("wlan0", 1))
	client.waitLinks("wlan0")
	if now := client.address(); now != own {
		t.Errorf("address %v became %v", own, now)
	}
	works("after the client's restart, two years earlier")
}
