package session

import (
	"testing"
	"time"
)

const mbit = 1e6 / 8

func TestLinksComeUpAndCarryPackets(t *testing.T) {
	for _, scheduler := range []string{"wrr", "minrtt", "lowest-latency", "redundant"} {
		for _, reorder := range []string{"none", "global"} {
			for _, controlled := range []bool{true, false} {
				st := wholeStrategy
				st.Scheduler, st.RateControl = scheduler, controlled
				w := newWorld(t, st, reorder)
				w.link(0, pipe{rate: 20 * mbit, delay: 10 * time.Millisecond}, pipe{rate: 50 * mbit, delay: 10 * time.Millisecond})
				w.link(1, pipe{rate: 10 * mbit, delay: 30 * time.Millisecond}, pipe{rate: 20 * mbit, delay: 40 * time.Millisecond})
				w.run(500 * time.Millisecond)
				for i, e := range w.ends {
					for _, l := range e.s.Snapshot(w.now).Links {
						if l.State != "up" {
							t.Fatalf("%s/%s: end %d: %s is %s\n%+v\n%+v", scheduler, reorder, i, l.Name, l.State, w.ends[0].s.Snapshot(w.now), w.ends[1].s.Snapshot(w.now))
						}
					}
				}
				n := w.stream(server, 5*mbit, 1000, 2*time.Second)
				w.run(3 * time.Second)
				got := w.ends[client].received
				if len(got) != n {
					t.Errorf("%s/%s/%v: %d packets of %d arrived: %+v", scheduler, reorder, controlled, len(got), n, w.ends[client].s.Snapshot(w.now).Counters)
				}
				if reorder == "none" {
					continue
				}
				for i, p := range got {
					if number(p) != uint64(i) {
						t.Fatalf("%s/%s/%v: packet %d came as number %d", scheduler, reorder, controlled, number(p), i)
					}
				}
			}
		}
	}
}
