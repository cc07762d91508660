package session

import (
	"testing"
	"time"
)

// TestCopiesOfRepairs: what a fast link loses is sent on a slow one as well, but
// only as far as that has room: it is not overrun.
func TestCopiesOfRepairs(t *testing.T) {
	fast := pipe{rate: 50 * mbit, delay: 9 * time.Millisecond, queue: 90 * time.Millisecond, loss: 0.05}
	slow := pipe{rate: mbit, delay: 20 * time.Millisecond, queue: 30 * time.Millisecond, loss: 0.02}
	w := earliestOver(t, fast, slow)
	count := w.stream(server, 40*mbit, 1300, 5*time.Second)
	w.run(6 * time.Second)
	if stats := w.ends[server].s.links[1].tx.Stats(); stats.Lost > stats.Datagrams/4 {
		t.Errorf("%d of %d datagrams on the slow link are lost", stats.Lost, stats.Datagrams)
	}
	if got := len(w.ends[client].received); got < count*999/1000 {
		t.Errorf("%d of %d packets came", got, count)
	}
}
