package session

import (
	"net/netip"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// oneLink is a world with a link of 20 Mbit/s and 20 ms.
func oneLink(t *testing.T) (*world, func()) {
	w := newWorld(t, wholeStrategy, "flow")
	join := func() {
		w.link(0, pipe{rate: 20 * mbit, delay: 10 * time.Millisecond}, pipe{rate: 20 * mbit, delay: 10 * time.Millisecond})
	}
	join()
	return w, join
}

// tcp makes a packet pass for one of TCP, which may wait for long.
func tcp(p []byte) []byte {
	p[9] = 6
	return p
}

// remove takes the only link away at both ends, and what is on it.
func (w *world) remove() {
	for _, e := range w.ends {
		e.pipes[0].dead = true
		e.s.RemoveLink(w.now, 0, &e.out)
		w.carryOut(e)
	}
}

// TestLastLinkGoesAndComes: what was on its way over the last link, and what
// came while there was none, leaves when there is one again.
func TestLastLinkGoesAndComes(t *testing.T) {
	for _, away := range []time.Duration{0, 100 * time.Millisecond, 10 * time.Minute} {
		w, join := oneLink(t)
		w.run(time.Second)
		n := 500
		for i := range n {
			w.at(w.now.Add(time.Duration(i)*time.Millisecond), func() { w.send(server, tcp(numbered(uint64(i), 1000))) })
		}
		w.run(250 * time.Millisecond)
		w.remove()
		w.run(250*time.Millisecond + away)
		join()
		w.run(2 * time.Second)
		w.wantAll(n)
		if c := w.ends[server].s.Snapshot(w.now).Counters; c.DropStranded > 0 {
			t.Errorf("away for %v: %d packets dropped", away, c.DropStranded)
		}
		if live := w.ends[server].s.pool.Live(); live > 0 {
			t.Errorf("away for %v: %d packets are never let go", away, live)
		}
	}
}

// TestStrandedIsBounded: what is kept of the flights of links that come and go
// has a limit, beyond which packets are counted as dropped.
func TestStrandedIsBounded(t *testing.T) {
	w, _ := oneLink(t)
	s := w.ends[server].s
	for n := range uint64(maxStranded + 10) {
		p := s.pool.Get()
		p.Data = append(p.Data, numbered(n, 100)...)
		s.strand(p)
		p.Release()
	}
	if n := len(s.stranded); n != maxStranded || s.counters.DropStranded != 10 {
		t.Errorf("%d packets kept, %d dropped", n, s.counters.DropStranded)
	}
}

// TestLonelyLinkFallsSilent: when the only link is silent packets wait; they
// leave as soon as it answers.
func TestLonelyLinkFallsSilent(t *testing.T) {
	w, _ := oneLink(t)
	w.run(time.Second)
	dead := func(yes bool) {
		for _, e := range w.ends {
			e.pipes[0].dead = yes
		}
	}
	w.stream(server, 1*mbit, 1000, time.Second)
	w.run(500 * time.Millisecond)
	dead(true)
	w.run(4 * time.Second)
	if st := w.ends[server].s.Snapshot(w.now).Links[0].State; st != "down" {
		t.Errorf("after 4 s of silence the link is %s", st)
	}
	w.send(server, numbered(77_777, 1000))
	w.run(time.Second)
	dead(false)
	came := len(w.ends[client].received)
	w.run(250 * time.Millisecond)
	got := w.ends[client].received[came:]
	if len(got) == 0 || number(got[len(got)-1]) != 77_777 {
		t.Errorf("%d packets came in the first 250 ms after the return, and not the one that waited", len(got))
	}
}

// TestDrain: what a session has not delivered goes over to its successor.
func TestDrain(t *testing.T) {
	w, join := oneLink(t)
	w.run(time.Second)
	n := w.stream(server, 16*mbit, 1000, 500*time.Millisecond)
	w.run(250 * time.Millisecond)
	w.remove()
	w.run(250 * time.Millisecond)
	for i, e := range w.ends {
		old := e.s
		s, err := New(Config{Send: wholeStrategy, Reorder: "flow", LearnPaths: i == server, Seed: 9}, w.now)
		if err != nil {
			t.Fatal(err)
		}
		e.s = s
		s.HandlePackets(w.now, old.Drain(), &e.out)
		w.carryOut(e)
		if left := old.Drain(); len(left) > 0 || old.NextTimeout() != core.Never {
			t.Errorf("end %d: %d packets are left, next timeout %v", i, len(left), old.NextTimeout())
		}
	}
	join()
	w.run(2 * time.Second)
	lost, _ := missing(w.ends[client], n)
	if lost > 0 {
		t.Errorf("%d of %d packets lost", lost, n)
	}
}

// TestDrainOfUrgent: packets of low latency that wait go over as well.
func TestDrainOfUrgent(t *testing.T) {
	w, _ := oneLink(t)
	w.run(time.Second)
	w.marked(client, numbered(0, 200))
	w.remove()
	w.run(250 * time.Millisecond)
	s := w.ends[client].s
	waiting := s.queue.Urgent()
	w.send(client, numbered(0, 200))
	if s.queue.Urgent() != waiting+1 || s.queue.Waiting() {
		t.Fatalf("%d packets of low latency wait, others %v: the test shows nothing", s.queue.Urgent(), s.queue.Waiting())
	}
	if got := len(s.Drain()); got < waiting+1 || !s.queue.Empty() {
		t.Errorf("%d of %d packets, queue empty: %v", got, waiting+1, s.queue.Empty())
	}
}

// TestRebindingLosesLittle: when a NAT gives the peer another port, what went to
// the old one is repaired as soon as the new one has answered.
func TestRebindingLosesLittle(t *testing.T) {
	w, _ := oneLink(t)
	w.run(time.Second)
	n := w.stream(server, 8*mbit, 1000, 2*time.Second)
	w.run(time.Second)
	// What the server sends to the old port goes nowhere from now on.
	up, down := w.ends[client].pipes[0], w.ends[server].pipes[0]
	old := w.ends[server].s.links[0].paths.current
	up.path.Remote = netip.AddrPortFrom(up.path.Remote.Addr(), 50_000)
	down.lost = func(to core.Path) bool { return to == old }
	w.run(2 * time.Second)
	w.wantAll(n)
	e := w.ends[client]
	var stall time.Duration
	for i := 1; i < len(e.at); i++ {
		stall = max(stall, e.at[i].Sub(e.at[i-1]))
	}
	t.Logf("longest gap in delivery %v, %d lost", stall, down.drops)
	if down.drops == 0 {
		t.Error("nothing was lost: the test shows nothing")
	}
	if c := w.ends[server].s.Snapshot(w.now).Counters; c.PathChanges != 1 || stall > 60*time.Millisecond {
		t.Errorf("%d changes of the path, longest gap in delivery %v of a round trip of 20 ms", c.PathChanges, stall)
	}
}
