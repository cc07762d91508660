package session

import (
	"testing"
	"time"
)

// linkState returns what an end believes of a link.
func (w *world) linkOf(e int, id int) Link { return w.ends[e].s.Snapshot(w.now).Links[id] }

// TestReturningLinkGoesOn: a link that was removed and is there again soon
// starts with what it could carry, and one that was away for long does not.
func TestReturningLinkGoesOn(t *testing.T) {
	for _, away := range []time.Duration{2 * time.Second, rememberFor} {
		w := newWorld(t, wholeStrategy, "global")
		fast := pipe{rate: 100 * mbit, delay: 30 * time.Millisecond}
		w.link(0, fast, fast)
		w.link(1, pipe{rate: 5 * mbit, delay: 10 * time.Millisecond}, pipe{rate: 5 * mbit, delay: 10 * time.Millisecond})
		w.stream(server, 90*mbit, 1300, 3*time.Second)
		w.run(3 * time.Second)
		before := w.linkOf(server, 0)
		if before.Window < 400_000 {
			t.Fatalf("the window is %d bytes", before.Window)
		}
		for _, e := range w.ends {
			e.s.RemoveLink(w.now, 0, &e.out)
			w.carryOut(e)
		}
		w.run(away)
		w.link(0, fast, fast)
		w.run(time.Second)
		after := w.linkOf(server, 0)
		if known := after.Window >= before.Window; known != (away < rememberFor) {
			t.Errorf("away for %v: the window is %d bytes, it was %d", away, after.Window, before.Window)
		}
	}
}

// TestSilenceIsForgotten: what a silent link could carry is its first guess for as
// long as it is remembered.
func TestSilenceIsForgotten(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.stream(server, 20*mbit, 1300, 3*time.Second)
	w.run(3 * time.Second)
	s := w.ends[server].s
	for _, v := range []struct {
		away  time.Duration
		known bool
	}{{rememberFor - 1, true}, {rememberFor, false}} {
		s.now = w.now
		s.remember(s.links[1])
		s.now = w.now.Add(v.away)
		if g := s.recall(s.links[1]); (g.Rate > 0) != v.known {
			t.Errorf("after %v the guess is %v", v.away, g)
		}
		if g := s.recall(s.links[1]); g.Rate > 0 {
			t.Errorf("after %v: recalled twice", v.away)
		}
	}
}

// TestDirectionsAreJudgedApart: a link whose other direction is dead carries
// data in the one that works.
func TestDirectionsAreJudgedApart(t *testing.T) {
	for _, dead := range []int{client, server} {
		w := twoLinks(t, wholeStrategy)
		alive := 1 - dead
		w.stream(client, 12*mbit, 1000, 5*time.Second)
		w.stream(server, 30*mbit, 1000, 5*time.Second)
		w.run(time.Second)
		w.ends[dead].pipes[0].dead = true
		w.run(time.Second)
		before := w.linkOf(alive, 0)
		w.run(2 * time.Second)
		after := w.linkOf(alive, 0)
		if after.State != "up" || after.Acked-before.Acked < 1000 {
			t.Errorf("end %d dead: the other direction is %s and carried %d datagrams in 2 s", dead, after.State, after.Acked-before.Acked)
		}
		if st := w.linkOf(dead, 0).State; st != "down" {
			t.Errorf("the dead direction of end %d is %s", dead, st)
		}
	}
}

// TestFallenRateIsWaitedFor: when the rate of one of several links falls, the
// queue may hold up to a round trip more for a while.
func TestFallenRateIsWaitedFor(t *testing.T) {
	w := newWorld(t, wholeStrategy, "global")
	both := pipe{rate: 50 * mbit, delay: 20 * time.Millisecond, queue: 100 * time.Millisecond}
	w.link(0, both, both)
	w.link(1, both, both)
	w.stream(server, 110*mbit, 1300, 16*time.Second)
	s := w.ends[server].s
	allowed := func(d time.Duration) int { // in hundredths of a round trip
		w.run(d)
		c := s.conditions()
		return int(c.Ahead / c.Rate / c.RTT.Seconds() * 100)
	}
	if a := allowed(3 * time.Second); a != 0 {
		t.Errorf("%d %% of a round trip before", a)
	}
	w.ends[server].pipes[0].rate = 10 * mbit
	if a := allowed(time.Second); a < 20 || a > 100 {
		t.Errorf("%d %% of a round trip after the fall", a)
	}
	if a := allowed(rememberFor); a != 0 {
		t.Errorf("%d %% of a round trip long after", a)
	}
}
