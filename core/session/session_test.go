package session

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/sched"
)

const mbit = 1e6 / 8

func TestLinksComeUpAndCarryPackets(t *testing.T) {
	for _, scheduler := range sched.Names() {
		for _, reorder := range []string{"none", "global", "flow"} {
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
							t.Fatalf("%s/%s: end %d: %s is %s", scheduler, reorder, i, l.Name, l.State)
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

// twoLinks is a world with a fast and a slow link that are up.
func twoLinks(t testing.TB, st Strategy) *world {
	w := newWorld(t, st, "global")
	w.link(0, pipe{rate: 20 * mbit, delay: 10 * time.Millisecond}, pipe{rate: 50 * mbit, delay: 10 * time.Millisecond})
	w.link(1, pipe{rate: 10 * mbit, delay: 30 * time.Millisecond}, pipe{rate: 20 * mbit, delay: 40 * time.Millisecond})
	w.run(500 * time.Millisecond)
	return w
}

// earliestOver makes two ends that use the default scheduler over links alike in
// both directions, and lets the links come up.
func earliestOver(t testing.TB, pipes ...pipe) *world {
	st := wholeStrategy
	st.Scheduler = "earliest"
	w := newWorld(t, st, "flow")
	for i, p := range pipes {
		w.link(core.LinkID(i), p, p)
	}
	w.run(time.Second)
	return w
}

// missing counts the numbers below n that did not come out of an end, and
// repeated those that came more than once.
func missing(e *end, n int) (missing, repeated int) {
	seen := make([]int, n)
	for _, p := range e.received {
		seen[number(p)]++
	}
	for _, c := range seen {
		missing += max(0, 1-c)
		repeated += max(0, c-1)
	}
	return missing, repeated
}

// wantAll checks that of n packets from the server each came out once, but for
// those that its queue dropped as a signal of congestion.
func (w *world) wantAll(n int) {
	w.t.Helper()
	signals := w.ends[server].s.Snapshot(w.now).Counters.DropQueueSignal
	lost, repeated := missing(w.ends[client], n)
	if lost != int(signals) || signals > uint64(n/100) || repeated > 0 {
		w.t.Errorf("%d of %d packets lost, %d of them in the queue; %d came twice", lost, n, signals, repeated)
	}
}

func TestLossIsRepaired(t *testing.T) {
	for _, retransmit := range []bool{true, false} {
		st := wholeStrategy
		st.Retransmit = retransmit
		w := twoLinks(t, st)
		w.ends[server].pipes[0].loss = 0.05
		w.ends[server].pipes[1].loss = 0.05
		n := w.stream(server, 20*mbit, 1000, 5*time.Second)
		w.run(7 * time.Second)
		lost, repeated := missing(w.ends[client], n)
		t.Logf("retransmit %v: %d of %d lost", retransmit, lost, n)
		if repeated > 0 {
			t.Errorf("%d packets came twice", repeated)
		}
		if share := float64(lost) / float64(n); retransmit && share > 1e-3 || !retransmit && share < 0.03 {
			t.Errorf("retransmit %v: %.4f of the packets lost", retransmit, share)
		}
	}
}

// TestSilentLink: packets in flight on a link that goes silent come over the
// other one, soon, and the link is used again when it is back.
func TestSilentLink(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	n := w.stream(server, 12*mbit, 1000, 6*time.Second)
	w.at(w.now.Add(2*time.Second), func() {
		w.ends[server].pipes[0].dead, w.ends[client].pipes[0].dead = true, true
	})
	w.at(w.now.Add(4*time.Second), func() {
		w.ends[server].pipes[0].dead, w.ends[client].pipes[0].dead = false, false
	})
	w.run(3 * time.Second)
	if st := w.ends[server].s.Snapshot(w.now).Links[0].State; st != "down" {
		t.Errorf("a second after it went silent the link is %s", st)
	}
	w.run(5 * time.Second)
	w.wantAll(n)
	e := w.ends[client]
	var stall time.Duration
	for i := 1; i < len(e.at); i++ {
		stall = max(stall, e.at[i].Sub(e.at[i-1]))
	}
	t.Logf("longest gap in delivery %v", stall)
	if stall > 200*time.Millisecond {
		t.Errorf("longest gap in delivery %v", stall)
	}
	for _, e := range w.ends {
		if st := e.s.Snapshot(w.now).Links[0].State; st != "up" {
			t.Errorf("after its return the link is %s", st)
		}
	}
}

// TestSilentLinkUnderSparseTraffic: with next to nothing in flight the ends
// find out which link is dead, and not take the good one for it.
func TestSilentLinkUnderSparseTraffic(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.stream(server, 12*mbit, 1000, time.Second)
	w.run(time.Second)
	w.ends[server].pipes[0].dead, w.ends[client].pipes[0].dead = true, true
	const every = 250 * time.Millisecond
	for n := range 20 {
		w.at(w.now.Add(time.Duration(n)*every), func() {
			w.send(server, numbered(uint64(10000+n), 100))
			w.send(client, numbered(uint64(10000+n), 100))
		})
	}
	start := w.now
	w.run(20*every + time.Second)
	for i, e := range w.ends {
		came := map[uint64]time.Duration{}
		for k, p := range e.received {
			if n := number(p); n >= 10000 {
				came[n-10000] = e.at[k].Sub(start) - time.Duration(n-10000)*every
			}
		}
		for n := range uint64(20) {
			if d, ok := came[n]; !ok || n > 2 && d > 150*time.Millisecond {
				t.Errorf("end %d: packet %d came %v, after %v", i, n, ok, d)
			}
		}
		links := e.s.Snapshot(w.now).Links
		if links[0].State != "down" || links[1].State != "up" {
			t.Errorf("end %d: the dead link is %s, the good one %s", i, links[0].State, links[1].State)
		}
	}
}

func TestRemoveLinkMovesItsPackets(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	n := w.stream(server, 12*mbit, 1000, 2*time.Second)
	w.at(w.now.Add(time.Second), func() {
		for _, e := range w.ends {
			e.pipes[0].dead = true
			e.s.RemoveLink(w.now, 0, &e.out)
			w.carryOut(e)
		}
	})
	w.run(4 * time.Second)
	w.wantAll(n)
	if got := len(w.ends[client].s.Snapshot(w.now).Links); got != 1 {
		t.Errorf("%d links left", got)
	}
}

func TestServerFollowsAProvenAddressOnly(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	remote := func() string { return w.ends[server].s.Snapshot(w.now).Links[0].Remote }
	before := remote()

	// An authentic datagram that somebody copies to another source.
	var stolen []byte
	s := w.ends[client]
	s.s.HandlePackets(w.now, []core.Packet{{Data: numbered(0, 500)}}, &s.out)
	for _, r := range s.out.Runs {
		if r.Link == 0 {
			stolen = slices.Clone(r.Data)
		}
	}
	if stolen == nil {
		t.Fatal("nothing was sent on link 0")
	}
	attacker := core.Path{Remote: netip.MustParseAddrPort("203.0.113.66:666")}
	e := w.ends[server]
	sent := 0
	e.s.HandleDatagrams(w.now, 0, []core.Datagram{{Data: stolen, Path: attacker}}, &e.out)
	for range 100 {
		for _, r := range e.out.Runs {
			if r.Path == attacker {
				sent += len(r.Data) + 28
			}
		}
		w.now += core.Time(50 * time.Millisecond)
		e.s.HandleTimeout(w.now, &e.out)
	}
	if limit := 3 * (len(stolen) + 28); sent > limit {
		t.Errorf("%d bytes sent to an address that proved nothing, at most %d", sent, limit)
	}
	if remote() != before {
		t.Errorf("the link moved to %s", remote())
	}

	// The client really moves.
	moved := core.Path{Remote: netip.MustParseAddrPort("203.0.113.9:1234")}
	w.ends[client].pipes[0].path = moved
	w.run(time.Second)
	if remote() != moved.Remote.String() {
		t.Errorf("the link is at %s after its client moved to %s", remote(), moved.Remote)
	}
}

// TestHostileDatagrams: what is not authentic, not new or not well-formed is
// dropped, counted and answered by nothing.
func TestHostileDatagrams(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	s, e := w.ends[client], w.ends[server]
	s.s.HandlePackets(w.now, []core.Packet{{Data: numbered(0, 500)}}, &s.out)
	r := s.out.Runs[0]
	good := slices.Clone(r.Data)
	from := clientPath(r.Link)
	give := func(id core.LinkID, d []byte) Counters {
		e.s.HandleDatagrams(w.now, id, []core.Datagram{{Data: slices.Clone(d), Path: from}}, &e.out)
		return e.s.Snapshot(w.now).Counters
	}
	for i := range good {
		bad := slices.Clone(good)
		bad[i] ^= 0x40
		c := give(r.Link, bad)
		if len(e.out.Packets) > 0 || len(e.out.Runs) > 0 {
			t.Fatalf("flipped byte %d: an answer", i)
		}
		if c.DropAuth+c.DropHeader+c.DropReplay != uint64(i+1) {
			t.Fatalf("flipped byte %d: not counted: %+v", i, c)
		}
	}
	for _, n := range []int{0, 1, 15, 16, 32} {
		give(r.Link, good[:n])
	}
	other := core.LinkID(1 - r.Link)
	give(other, good)
	if c := give(9, good); c.DropUnknownLink != 1 || c.DropShort != 5 {
		t.Errorf("%+v", c)
	}
	if len(e.out.Packets) > 0 {
		t.Fatal("delivered on another link")
	}
	give(r.Link, good)
	if len(e.out.Packets) != 1 {
		t.Fatal("the true datagram is not delivered")
	}
	if c := give(r.Link, good); len(e.out.Packets) != 0 || c.DropReplay == 0 {
		t.Errorf("a replay is delivered or not counted: %+v", c)
	}
}

func TestBadInnerPackets(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	lies := numbered(0, 200)
	lies[3]++
	w.send(client, nil, []byte{0x45}, lies, make([]byte, 1500), numbered(0, 1450))
	e, big := w.ends[client], superPacket(3)
	big.Segment = 1400 // and headers: over the MTU
	e.s.HandlePackets(w.now, []core.Packet{big}, &e.out)
	c := e.s.Snapshot(w.now).Counters
	if c.DropBadPacket != 4 || c.DropTooBig != 1+3 || c.TxPackets != 0 {
		t.Errorf("%+v", c)
	}
}

func TestQueueIsBounded(t *testing.T) {
	w := newWorld(t, wholeStrategy, "global")
	for n := range uint64(10000) {
		w.send(client, numbered(n, 1400))
	}
	v := w.ends[client].s.Snapshot(w.now)
	if v.QueueBytes > defaultQueueBytes || v.Counters.DropQueueFull == 0 {
		t.Errorf("%d bytes wait, %d dropped", v.QueueBytes, v.Counters.DropQueueFull)
	}
}

func TestIdleLinksAreQuiet(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.run(20 * time.Second)
	before := w.ends[client].datagrams + w.ends[server].datagrams
	const d = 60 * time.Second
	w.run(d)
	perLink := float64(w.ends[client].datagrams+w.ends[server].datagrams-before) / d.Seconds() / 2 / 2
	t.Logf("%.2f datagrams per second, link and direction", perLink)
	if perLink > 1.1 {
		t.Errorf("%.2f datagrams per second, link and direction", perLink)
	}
}

// TestRareReports compares how many reports a busy link makes with both
// settings, the second made while it runs.
func TestRareReports(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	total := 0
	reports := func() uint64 {
		before := w.counters(client).AcksSent
		total += w.stream(server, 40*mbit, 1000, time.Second)
		w.run(time.Second)
		return w.counters(client).AcksSent - before
	}
	often := reports()
	st := wholeStrategy
	st.Reports = ReportsRare
	e := w.ends[client]
	if err := e.s.SetStrategy(w.now, st, &e.out); err != nil {
		t.Fatal(err)
	}
	w.carryOut(e)
	rare := reports()
	w.run(time.Second)
	if n := len(e.received); n != total {
		t.Errorf("%d of %d packets arrived", n, total)
	}
	if most := uint64(time.Second/link.AckDelay) + 5; rare > most || rare >= often {
		t.Errorf("%d reports in a second, %d before they were to be rare: want at most %d", rare, often, most)
	}
}

func TestStrategyChangesWhileRunning(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	n := w.stream(server, 10*mbit, 1000, 3*time.Second)
	for i, name := range []string{"minrtt", "redundant", "lowest-latency", "wrr"} {
		w.at(w.now.Add(time.Duration(i+1)*500*time.Millisecond), func() {
			st := wholeStrategy
			st.Scheduler, st.RateControl = name, i%2 == 0
			e := w.ends[server]
			if err := e.s.SetStrategy(w.now, st, &e.out); err != nil {
				t.Error(err)
			}
			w.carryOut(e)
			c := w.ends[client]
			if err := c.s.SetReorder(w.now, []string{"none", "global"}[i%2], &c.out); err != nil {
				t.Error(err)
			}
			w.carryOut(c)
		})
	}
	w.run(5 * time.Second)
	w.wantAll(n)
	if err := w.ends[client].s.SetStrategy(w.now, Strategy{Scheduler: "no"}, &w.ends[client].out); err == nil {
		t.Error("an unknown scheduler is taken")
	}
}
