package session

import (
	"testing"
	"time"
)

// Packets wait for a link for half a minute, those of TCP for as long as their
// connections live.
func TestOldPacketsExpire(t *testing.T) {
	w := newWorld(t, wholeStrategy, "global")
	s := w.ends[client].s
	w.send(client, numbered(0, 1000), tcp(numbered(1, 1000)), numbered(2, 1000))
	check := func(bytes int, dropped uint64) {
		t.Helper()
		if s.queue.Total() != bytes || s.counters.DropQueueAge != dropped {
			t.Errorf("%d bytes wait and %d packets were dropped, want %d and %d", s.queue.Total(), s.counters.DropQueueAge, bytes, dropped)
		}
	}
	w.run(maxWait - time.Second)
	check(3000, 0)
	w.run(2*time.Second + expireEvery)
	check(1000, 2)
	w.send(client, numbered(3, 1000))
	w.link(0, pipe{}, pipe{})
	w.run(time.Second)
	if got := w.ends[server].received; len(got) != 2 {
		t.Errorf("%d packets came through, want 2", len(got))
	}

	w = newWorld(t, wholeStrategy, "global")
	s = w.ends[client].s
	w.send(client, tcp(numbered(0, 1000)))
	w.run(maxWaitTCP - time.Second)
	check(1000, 0)
	w.run(2*time.Second + expireEvery)
	check(0, 1)
	if live := s.pool.Live(); live > 0 {
		t.Errorf("%d packets are never let go", live)
	}
}

// What was stranded when the last link went is no different.
func TestStrandedPacketsExpire(t *testing.T) {
	w, _ := oneLink(t)
	w.run(time.Second)
	w.send(server, numbered(0, 1000), tcp(numbered(1, 1000)))
	w.remove()
	s := w.ends[server].s
	if len(s.stranded) != 2 {
		t.Fatalf("%d packets are stranded, want 2", len(s.stranded))
	}
	w.run(maxWait + expireEvery + time.Second)
	if len(s.stranded) != 1 || s.counters.DropQueueAge != 1 {
		t.Errorf("%d packets are stranded and %d dropped, want 1 and 1", len(s.stranded), s.counters.DropQueueAge)
	}
}
