package sched

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
)

// TestNothingIsStranded: whatever the links are, every scheduler gets through
// what it is given.
func TestNothingIsStranded(t *testing.T) {
	for _, name := range Names() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				var links []*simLink
				for range rapid.IntRange(1, 4).Draw(rt, "links") {
					l := link(rapid.Float64Range(2e4, 4e7).Draw(rt, "rate"), time.Duration(rapid.IntRange(0, 400).Draw(rt, "delay"))*ms)
					l.Backup, l.Suspect = rapid.Bool().Draw(rt, "backup"), rapid.Bool().Draw(rt, "suspect")
					links = append(links, l)
				}
				w := newWorld(t, name, links...)
				w.view.Budget = rapid.IntRange(0, 11<<20).Draw(rt, "budget")
				n := rapid.IntRange(1, 400).Draw(rt, "packets")
				flows := rapid.Uint32Range(1, 100).Draw(rt, "flows")
				flow := uint32(0)
				w.push(n, func() Packet {
					flow = (flow + 1) % flows
					return Packet{Len: packetLen, Bucket: 1, Flow: flow}
				})
				w.run(10 * time.Minute)
				if len(w.q) > 0 || w.arrived < n {
					rt.Fatalf("%d of %d packets wait, %d arrived", len(w.q), n, w.arrived)
				}
			})
		})
	}
}

// TestBlestSparesTheSlowLink: it is used as far as the peer can hold what the
// fast link sends meanwhile.
func TestBlestSparesTheSlowLink(t *testing.T) {
	for _, c := range []struct {
		budget      int
		least, most float64 // share of the slow link
	}{
		{500_000, 0, 0},
		{8 << 20, 0.12, 0.15}, // 1 of 7 MB/s
	} {
		w := newWorld(t, "blest", link(6e6, 10*ms), link(1e6, 200*ms))
		w.feed, w.view.Budget = bulk, c.budget
		w.run(2 * time.Second)
		if part := w.shares(5 * time.Second)[1]; part < c.least || part > c.most {
			t.Errorf("budget %d: the slow link carries %.3f, want %.2f to %.2f", c.budget, part, c.least, c.most)
		}
	}
}

// TestEcfFinishesEarlier: a short transfer does not wait for its last packets
// on the slow link, a long one uses both.
func TestEcfFinishesEarlier(t *testing.T) {
	finish := func(scheduler string, n int) (d time.Duration, slow uint64) {
		w := newWorld(t, scheduler, link(6e6, 10*ms), link(1e6, 200*ms))
		w.push(n, bulk)
		w.run(time.Minute)
		if w.arrived != n {
			t.Fatalf("%s: %d of %d arrived", scheduler, w.arrived, n)
		}
		return w.lastAt.Sub(1e9), w.links[1].Sent
	}
	minrtt, _ := finish("minrtt", 300)
	ecf, _ := finish("ecf", 300)
	if ecf > minrtt/2 {
		t.Errorf("450 kB took %s, with minrtt %s", ecf, minrtt)
	}
	if _, slow := finish("ecf", 10_000); slow < 15_000_000/10 {
		t.Errorf("15 MB: the slow link carried %d bytes, want about a seventh", slow)
	}
}

func TestActiveBackupSwitchesAndFailsBack(t *testing.T) {
	first, second := link(2e6, 20*ms), link(1e6, 30*ms)
	second.Backup = true
	w := newWorld(t, "active-backup", first, second)
	w.feed, w.feedTo = bulk, 50
	all := func(about string, want int, d time.Duration) {
		t.Helper()
		if parts := w.shares(d); parts[want] != 1 {
			t.Errorf("%s: shares %v, want all on link %d", about, parts, want)
		}
	}
	all("at first", 0, 5*time.Second)

	first.loss = 0.2
	w.run(lossInterval + lossInterval/2)
	all("loss on the first", 1, 2*time.Second)
	first.loss = 0
	w.run(returnFirst)
	all("after it met its targets for a while", 0, 2*time.Second)

	first.Suspect = true
	all("silent", 1, time.Second)
	first.Suspect = false
	all("a return too soon after the last one", 1, 2*returnFirst-time.Second)
	w.run(2 * time.Second)
	all("in the end", 0, 2*time.Second)

	first.gone = true
	all("gone", 1, time.Second)
	first.gone, first.InFlight, first.flights = false, 0, nil
	all("back, but not for long", 1, time.Second)
	w.run(4 * returnFirst)
	all("back", 0, returnMost+time.Second)
	first.Suspect = true
	w.run(time.Second)
	first.Suspect = false
	w.run(returnFirst)
	all("the wait is short again after a good minute", 0, time.Second)
}

func TestActiveBackupMeasuresDelay(t *testing.T) {
	w := newWorld(t, "active-backup", link(2e6, 20*ms), link(1e6, 30*ms))
	w.feed, w.feedTo = bulk, 50
	for _, c := range []struct {
		rtt  time.Duration
		want Set
	}{
		{delayTarget, Of(0)}, {delayTarget + 1, Of(1)}, {delayReturn + 1, Of(1)},
	} {
		w.look()
		w.view.Links[0].SRTT = c.rtt
		for range 2 {
			w.view.Now, w.now = w.now.Add(returnFirst), w.now.Add(returnFirst)
			w.view.Queue = &backlog{n: 1, size: packetLen}
			if got, _, _ := w.s.Pick(&w.view); got.Links != c.want {
				t.Errorf("round trip %s: links %b, want %b", c.rtt, got.Links, c.want)
			}
		}
	}
}

// TestFlowKeepsFlowsTogether: flows are shared out by rate, none uses two links,
// and only those of a link that goes move.
func TestFlowKeepsFlowsTogether(t *testing.T) {
	const flows = 400
	w := newWorld(t, "flow", link(3e6, 10*ms), link(1e6, 40*ms), link(2e6, 20*ms))
	next := uint32(0)
	w.feed = func() Packet {
		next++
		return Packet{Len: packetLen, Bucket: 1, Flow: next % flows * 2654435761}
	}
	w.feedTo = 64
	count := func() (n [3]int, of map[uint32]int) {
		of = map[uint32]int{}
		for i, l := range w.links {
			n[i] = len(l.byFlow)
			for f := range l.byFlow {
				if _, twice := of[f]; twice {
					t.Errorf("flow %d uses links %d and %d", f, of[f], i)
				}
				of[f] = i
			}
			l.byFlow = map[uint32]int{}
		}
		return n, of
	}
	w.run(5 * time.Second)
	n, before := count()
	for i, want := range []int{flows / 2, flows / 6, flows / 3} {
		if n[i] < want-2 || n[i] > want+2 {
			t.Errorf("link %d has %d flows, want %d", i, n[i], want)
		}
	}
	w.links[2].gone = true
	w.run(5 * time.Second)
	n, after := count()
	if n[2] != 0 || n[0]+n[1] != flows {
		t.Errorf("flows per link %v after the third went", n)
	}
	for f, i := range before {
		if i != 2 && after[f] != i {
			t.Errorf("flow %d moved from link %d to %d though its link stayed", f, i, after[f])
		}
	}
}

func TestFlowForgetsTheQuietest(t *testing.T) {
	s := &flow{}
	v := &View{Links: []Link{open(0, 10*ms, 1e6), open(1, 10*ms, 1e6)}}
	pick := func(f uint32) Set {
		v.Now++
		v.Queue = packets{{Len: packetLen, Flow: f}}
		c, _, _ := s.Pick(v)
		return c.Links
	}
	pick(0)
	first := pick(flowSets) // of the same set
	for i := range uint32(flowWays - 2) {
		pick((2 + i) * flowSets)
	}
	pick(0)
	pick(flowWays * flowSets) // takes the place of flow 1
	for w := range s.pins[0] {
		if s.pins[0][w].flow == flowSets {
			t.Errorf("flow %d is still known, pinned to %b", flowSets, first)
		}
	}
	if s.pins[0][0].flow != 0 {
		t.Error("a flow that was used since was forgotten")
	}
}

// TestLossWeightedFollowsQuality: with all links open, the shares are those of
// what arrives.
func TestLossWeightedFollowsQuality(t *testing.T) {
	good, bad := link(4e6, 10*ms), link(4e6, 10*ms)
	w := newWorld(t, "loss-weighted", good, bad)
	tick := 0
	send := func(n int) []float64 { // 2 MB/s in bursts, so that windows never close
		before := [2]uint64{good.Sent, bad.Sent}
		for range n {
			w.push(20, bulk)
			w.run(15 * ms)
			tick++
		}
		a, b := float64(good.Sent-before[0]), float64(bad.Sent-before[1])
		return []float64{a / (a + b), b / (a + b)}
	}
	if parts := send(200); math.Abs(parts[1]-0.5) > 0.02 {
		t.Errorf("equal links have shares %v", parts)
	}
	bad.loss = 0.5
	send(100)
	if parts := send(200); math.Abs(parts[1]-1.0/3) > 0.02 {
		t.Errorf("shares %v at half loss on one, want 2/3 and 1/3", parts)
	}
	bad.loss = 1
	send(100)
	if parts := send(500); parts[1] == 0 || parts[1] > 0.02 {
		t.Errorf("shares %v with a dead link, want a trickle", parts)
	}
	bad.loss = 0
	send(200)
	if parts := send(200); math.Abs(parts[1]-0.5) > 0.02 {
		t.Errorf("shares %v after the link came back", parts)
	}
}

// TestByteCountFillsInOrder: a load that one link carries stays on it, a larger
// one takes the next as well.
func TestByteCountFillsInOrder(t *testing.T) {
	w := newWorld(t, "byte-count", link(2e6, 10*ms), link(6e6, 10*ms))
	w.feed = bulk
	if w.run(5 * time.Second); w.links[0].Acked < 9_000_000 || w.links[1].Acked < 27_000_000 {
		t.Errorf("a full load: %d and %d bytes in 5 s of 2 and 6 MB/s", w.links[0].Acked, w.links[1].Acked)
	}
	w.feed, w.q = nil, nil
	before := w.links[0].Sent
	for range 400 { // 3 MB/s
		w.push(20, bulk)
		w.run(10 * ms)
	}
	if sent := w.links[0].Sent - before; sent > 12_000_000/100 {
		t.Errorf("a load of 3 MB/s: %d of 12,000,000 bytes on the slower link", sent)
	}
}

func TestByteCountLearns(t *testing.T) {
	s := newByteCount()
	l := open(0, 10*ms, 1e6)
	for _, c := range []struct {
		about       string
		after       time.Duration
		acked, lost uint64
		want        float64
	}{
		{"the first look", 0, 1000, 0, 0},
		{"more arrived", countInterval, 100_000, 0, 25_000},
		{"and more", countInterval, 100_000, 0, 43_750},
		{"less was sent", countInterval, 10_000, 0, 43_750},
		{"less arrived", countInterval, 10_000, 500, 35_312.5},
		{"an interval half as long again", countInterval * 3 / 2, 150_000, 0, 51_484.375},
		{"asked too late", 2 * countInterval, 900_000, 9, 51_484.375},
		{"the link was made anew", countInterval, 0, 0, 51_484.375},
	} {
		l.Acked, l.Lost = l.Acked+c.acked, l.Lost+c.lost
		if c.acked == 0 {
			l.Acked, l.Lost = 0, 0
		}
		v := &View{Now: s.start.Add(c.after), Links: []Link{l}}
		v.Now = max(v.Now, 1e9)
		s.count(v)
		if got := s.carries[0]; math.Abs(got-c.want) > 1 {
			t.Errorf("%s: carries %.1f, want %.1f", c.about, got, c.want)
		}
	}
}

// TestSharesKeepTheirScale: a link that was served while no rate was known is
// not shut out when rates become known.
func TestSharesKeepTheirScale(t *testing.T) {
	s, _ := New("wrr")
	v := &View{Now: 1, Queue: &backlog{n: 100, size: packetLen}}
	v.Links = []Link{{ID: 0, Open: true}, {ID: 1, Open: true}}
	bytes := [2]int{}
	serve := func(n int) {
		bytes = [2]int{}
		for range n {
			c, _, _ := s.Pick(v)
			for id := range core.LinkID(2) {
				if c.Links.Has(id) {
					bytes[id] += packetLen
					s.Sent(v.Now, id, packetLen)
				}
			}
		}
	}
	serve(20)
	v.Links[0].Rate, v.Links[1].Rate = 5e6, 5e6
	serve(1000)
	if d := bytes[0] - bytes[1]; d < -2*shareBurst || d > 2*shareBurst {
		t.Errorf("equal links carry %v", bytes)
	}
}

// steady is a view of two links and many packets, for costs.
func steady() *View {
	l := []Link{open(0, 10*ms, 6e6), open(1, 40*ms, 2e6)}
	return &View{Now: 1e9, Links: l, Queue: &backlog{n: 500, size: packetLen}, Flows: 1, Backlog: 500 * packetLen, Budget: 11 << 20}
}

// pickAndSend is one decision with what a session tells of it; every other one
// finds the faster link closed.
func pickAndSend(s Scheduler, v *View) {
	v.Now += 1e5
	v.Links[0].Open = !v.Links[0].Open
	v.Links[0].Acked += packetLen
	if c, _, ok := s.Pick(v); ok {
		for id := range core.LinkID(2) {
			if c.Links.Has(id) {
				s.Sent(v.Now, id, packetLen)
			}
		}
	}
}

func TestPickAllocatesNothing(t *testing.T) {
	for _, name := range Names() {
		s, _ := New(name)
		v := steady()
		if n := testing.AllocsPerRun(10_000, func() { pickAndSend(s, v) }); n != 0 {
			t.Errorf("%s: %v allocations for a decision", name, n)
		}
	}
}

// BenchmarkPick is the cost of one decision.
func BenchmarkPick(b *testing.B) {
	for _, name := range Names() {
		b.Run(name, func(b *testing.B) {
			s, _ := New(name)
			v := steady()
			b.ReportAllocs()
			for b.Loop() {
				pickAndSend(s, v)
			}
		})
	}
}
