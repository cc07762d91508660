package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// readEvents collects the events of a status socket until the test ends.
func readEvents(t *testing.T, socket string) <-chan Event {
	t.Helper()
	client := &http.Client{Transport: OverStatusSocket(socket)}
	ctx, cancel := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://multilink/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	list, done := make(chan Event, 1000), make(chan struct{})
	go func() {
		defer close(done)
		defer response.Body.Close()
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			var ev Event
			if err := json.Unmarshal(lines.Bytes(), &ev); err != nil {
				t.Errorf("%s: %v", lines.Bytes(), err)
			}
			list <- ev
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return list
}

// waitEvent waits for an event about a link, past others.
func waitEvent(t *testing.T, list <-chan Event, name, link string) Event {
	t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case ev := <-list:
			if ev["event"] == name && (link == "" || ev["link"] == link) {
				return ev
			}
		case <-timeout:
			t.Fatalf("no event %s of %s", name, link)
		}
	}
}

func TestEventsOfALink(t *testing.T) {
	w := newWorld(t)
	key := newKey(t)
	s := w.server(nil, key)
	c := w.client(key, nil, iface("a", 1))
	c.waitLinks("a")
	at, at2 := readEvents(t, c.c.config().StatusSocket), readEvents(t, s.s.cfg.StatusSocket)

	c.plug(iface("a", 1), iface("b", 2))
	for _, name := range []string{"link-found", "link-connecting", "link-up", "link-ready"} {
		waitEvent(t, at, name, "b")
	}
	if ev := waitEvent(t, at2, "link-up", "b"); ev["client"] != "client0" {
		t.Errorf("%v, want the client's name", ev)
	}
	c.plug(iface("a", 1), iface("b", 3))
	waitEvent(t, at, "address-changed", "b")
	c.plug(iface("b", 3))
	waitEvent(t, at, "link-gone", "a")
	c.plug()
	waitEvent(t, at, "session-lost", "")
	if ev := waitEvent(t, at, "state", ""); ev["state"] != string(NoLink) {
		t.Errorf("%v, want the state no-link", ev)
	}
	c.plug(iface("b", 3))
	if ev := waitEvent(t, at, "session-resumed", ""); ev["without_link"] == "" {
		t.Errorf("%v, want how long it took", ev)
	}
}

// A reader that does not read costs others nothing, and learns what it missed.
func TestSlowReaderMissesEvents(t *testing.T) {
	e := new(events)
	log := e.tap(newLog(t, "events").logger)
	s, cancel, err := e.subscribe()
	if err != nil {
		t.Fatal(err)
	}
	for range subscriberRoom + 7 {
		log.Debug("link up", "link", "a")
		log.Debug("something else")
	}
	for n := range subscriberRoom {
		if ev := <-s.events; ev["dropped"] != nil || ev["link"] != "a" {
			t.Fatalf("event %d: %v", n, ev)
		}
	}
	log.Info("link down", "link", "a", "reason", context.Canceled)
	if ev := <-s.events; ev["dropped"] != uint64(7) || ev["reason"] != "context canceled" {
		t.Errorf("%v, want 7 dropped before it", ev)
	}
	log.Info("link up")
	if ev := <-s.events; ev["dropped"] != nil {
		t.Errorf("%v, want none dropped", ev)
	}
	cancel()
	for range maxSubscribers {
		if _, _, err := e.subscribe(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := e.subscribe(); err == nil {
		t.Error("readers without end")
	}
}

func TestEventsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, meaning := range EventNames() {
		if row := "| `" + name + "` | " + meaning + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/cli.md has no line %s", row)
		}
	}
}
