package session

import (
	"testing"
	"time"
)

// TestLateReports: when the reports suddenly take longer than a datagram may be
// unanswered, as behind a burst on the way back, the links are not given up.
func TestLateReports(t *testing.T) {
	p := pipe{rate: 20 * mbit, delay: 20 * time.Millisecond, queue: 100 * time.Millisecond}
	w := earliestOver(t, p, p)
	count := w.stream(server, 20*mbit, 1300, 8*time.Second)
	w.run(4 * time.Second)
	for id := range 2 {
		w.ends[client].pipes[id].delay = 220 * time.Millisecond
	}
	for range 40 {
		w.run(100 * time.Millisecond)
		if a, b := w.linkOf(server, 0).State, w.linkOf(server, 1).State; a == "down" && b == "down" {
			t.Fatalf("both links are down at %v", w.now)
		}
	}
	w.run(2 * time.Second)
	for id := range 2 {
		if l := w.linkOf(server, id); l.SRTT < 0.2 {
			t.Errorf("link %d: srtt %v", id, l.SRTT)
		}
	}
	if sent := w.ends[server].s.Snapshot(w.now).Counters.Retransmitted; sent > uint64(count/10) {
		t.Errorf("%d of %d packets were sent again", sent, count)
	}
}
