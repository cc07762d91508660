package session

import (
	"testing"
	"time"
)

// TestSlowLinkIsNotBuried: what a fast link had on its way when it fell silent is
// sent again on a slow one only as far as that brings it in time. What follows does
// not wait for the rest.
func TestSlowLinkIsNotBuried(t *testing.T) {
	fast := pipe{rate: 100 * mbit, delay: 80 * time.Millisecond, queue: 90 * time.Millisecond}
	slow := pipe{rate: mbit, delay: 20 * time.Millisecond, queue: 10 * time.Second}
	w := earliestOver(t, fast, slow)
	w.stream(server, 60*mbit, 1300, 5*time.Second)
	w.run(5 * time.Second)
	w.ends[server].pipes[0].dead = true
	w.run(2 * time.Second)
	if l := w.linkOf(server, 0); l.State != "down" {
		t.Fatalf("the fast link is %s", l.State)
	}
	queued := w.ends[server].pipes[1].free.Sub(w.now)
	if most := 1500 * time.Millisecond; queued > most {
		t.Errorf("2 s after the fall the slow link has %v to do, more than %v", queued, most)
	}
}
