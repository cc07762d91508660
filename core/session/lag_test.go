package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

func TestLag(t *testing.T) {
	const ms = core.Time(time.Millisecond)
	var g lag
	for _, c := range []struct {
		now    core.Time
		behind time.Duration
		want   time.Duration
	}{
		{1000 * ms, lagNoise - 1, 0},
		{1000 * ms, 20 * time.Millisecond, 20 * time.Millisecond},
		{1005 * ms, 10 * time.Millisecond, 15 * time.Millisecond}, // the longer one counts
		{1015 * ms, -time.Millisecond, 5 * time.Millisecond},
		{1030 * ms, 0, 0},
		{1030 * ms, time.Minute, lagMost},
	} {
		if g.note(c.now, c.behind); g.at(c.now) != c.want {
			t.Errorf("at %v, %v behind: %v, want %v", c.now, c.behind, g.at(c.now), c.want)
		}
	}
}

// TestStalledHost: an end that has no processor for a while gives up nothing of
// what waits in its sockets, whichever end it is.
func TestStalledHost(t *testing.T) {
	for name, stalled := range map[string]int{"receiver": client, "sender": server} {
		for _, d := range []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 80 * time.Millisecond} {
			w := newWorld(t, wholeStrategy, "flow")
			for id, delay := range []time.Duration{10 * time.Millisecond, 60 * time.Millisecond} {
				p := pipe{rate: 20 * mbit, delay: delay}
				w.link(core.LinkID(id), p, p)
			}
			w.run(time.Second)
			n := w.stream(server, 20*mbit, 1000, time.Second)
			w.run(time.Second)
			w.ends[stalled].stalled = w.now.Add(d)
			w.run(time.Second)

			for i, p := range w.ends[client].received {
				if number(p) != uint64(i) {
					t.Errorf("%s stalled for %v: packet %d of %d is number %d", name, d, i, n, number(p))
					break
				}
			}
			s := w.ends[stalled].s.Snapshot(w.now)
			if c := s.Counters; c.LateReleased > 0 || c.Retransmitted > 0 {
				t.Errorf("%s stalled for %v: %d packets released late, %d sent again", name, d, c.LateReleased, c.Retransmitted)
			}
		}
	}
}
