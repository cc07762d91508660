package link

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// TestReceiverReportsWhatCame: ranges name exactly what arrived, newest first,
// as far back as their number allows.
func TestReceiverReportsWhatCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Receiver
		now, next := core.Time(1e9), uint64(rapid.IntRange(0, 100).Draw(t, "first"))
		first := next
		came := map[uint64]bool{}
		var late []uint64
		receive := func(n uint64) {
			now += 1e6
			r.Received(now, n, 100, true)
			came[n] = true
		}
		for range rapid.IntRange(1, 150).Draw(t, "datagrams") {
			switch k := rapid.IntRange(0, 9).Draw(t, "kind"); {
			case k < 7 || next == first:
				receive(next)
			case k == 7 && len(late) > 0:
				receive(late[0])
				late = late[1:]
			default:
				late = append(late, next) // lost, or to come later
			}
			next++
			var a wire.Ack
			r.Report(now, 3, &a)
			checkRanges(t, a.Ranges, came)
			if a.Arrivals[0].Number != a.Ranges[0].Last {
				t.Fatalf("first arrival %d, highest number %d", a.Arrivals[0].Number, a.Ranges[0].Last)
			}
			if r.Pending() || r.AckDue() != core.Never {
				t.Fatal("a report is due right after one")
			}
		}
	})
}

func checkRanges(t *rapid.T, ranges []wire.Range, came map[uint64]bool) {
	for i, v := range ranges {
		for n := v.First; n <= v.Last; n++ {
			if !came[n] {
				t.Fatalf("%d reported but never came: %v", n, ranges)
			}
		}
		if i > 0 {
			for n := v.Last + 1; n < ranges[i-1].First; n++ {
				if came[n] {
					t.Fatalf("%d came but is not reported: %v", n, ranges)
				}
			}
		}
	}
}

func TestAckTiming(t *testing.T) {
	const t0 = core.Time(1e9)
	var r Receiver
	if r.AckDue() != core.Never {
		t.Fatal("due before anything came")
	}
	r.Received(t0, 0, 100, true)
	if want := t0.Add(AckDelay); r.AckDue() != want {
		t.Errorf("due at %d after one datagram, want %d", r.AckDue(), want)
	}
	for n := range uint64(ackEvery) {
		r.Received(t0, n+1, 100, true)
	}
	if r.AckDue() > t0 {
		t.Errorf("not due after %d datagrams", ackEvery+1)
	}
	var a wire.Ack
	r.Report(t0, 0, &a)
	r.Received(t0, ackEvery+1, 100, false)
	if r.AckDue() != core.Never {
		t.Error("a report asks for a report")
	}
	gap, missing := r.Received(t0, ackEvery+5, 100, false)
	if want := (wire.Range{First: ackEvery + 2, Last: ackEvery + 4}); !missing || gap != want {
		t.Errorf("gap %v %v, want %v", gap, missing, want)
	}
	if r.AckDue() > t0 {
		t.Error("a gap is not reported at once")
	}
}

func TestRareReports(t *testing.T) {
	const t0 = core.Time(1e9)
	var r Receiver
	r.SetRare(true)
	for n := range uint64(100 * ackEvery) {
		r.Received(t0.Add(time.Duration(n)), n, 100, true)
	}
	if want := t0.Add(AckDelay); r.AckDue() != want {
		t.Errorf("due at %d under load, want %d", r.AckDue(), want)
	}
	r.Received(t0, 100*ackEvery+1, 100, true)
	if r.AckDue() > t0 {
		t.Error("a gap is not reported at once")
	}
	var a wire.Ack
	r.Report(t0, 0, &a)
	r.SetRare(false)
	for n := range uint64(ackEvery) {
		r.Received(t0, 100*ackEvery+2+n, 100, true)
	}
	if want := t0.Add(ackGap); r.AckDue() != want {
		t.Errorf("due at %d when reports are as often as ever, want %d", r.AckDue(), want)
	}
}

func TestWindowFillsLinksWithShortQueues(t *testing.T) {
	for _, c := range []struct {
		name   string
		rate   float64
		delay  time.Duration
		loss   float64
		jitter time.Duration
		least  float64
	}{
		{"3 Mbit/s 30 ms", 3 * mbit, 30 * time.Millisecond, 0, 0, 0.97},
		{"50 Mbit/s 10 ms", 50 * mbit, 10 * time.Millisecond, 0, 0, 0.97},
		{"300 Mbit/s 8 ms", 300 * mbit, 8 * time.Millisecond, 0, 0, 0.97},
		{"50 Mbit/s 160 ms", 50 * mbit, 160 * time.Millisecond, 0, 0, 0.95},
		{"50 Mbit/s 10 ms, 1 % loss", 50 * mbit, 10 * time.Millisecond, 0.01, 0, 0.94},
		{"50 Mbit/s 20 ms, 20 % loss", 50 * mbit, 20 * time.Millisecond, 0.2, 0, 0.70},
		{"50 Mbit/s 20 ms, jitter 10 ms", 50 * mbit, 20 * time.Millisecond, 0, 10 * time.Millisecond, 0.85},
		{"50 Mbit/s 20 ms, jitter 40 ms", 50 * mbit, 20 * time.Millisecond, 0, 40 * time.Millisecond, 0.85},
	} {
		b := newBottleneck(c.rate, c.delay)
		b.loss, b.jitter = c.loss, c.jitter
		b.saturate(5 * time.Second)
		share, queueing := b.share(20 * time.Second)
		t.Logf("%-32s share %.3f, mean queueing %v", c.name, share, queueing)
		if share < c.least {
			t.Errorf("%s: %.3f of the rate, want at least %.2f", c.name, share, c.least)
		}
		if limit := max(25*time.Millisecond, 4*b.s.window.target(b.s)); queueing > limit {
			t.Errorf("%s: mean queueing %v, want at most %v", c.name, queueing, limit)
		}
	}
}

// TestRateIsTheLinks: a host that is too busy to read reports as they come must
// not take what it reads at once for a faster link.
func TestRateIsTheLinks(t *testing.T) {
	for _, stall := range []time.Duration{0, 10 * time.Millisecond, 30 * time.Millisecond, 70 * time.Millisecond} {
		b := newBottleneck(300*mbit, 10*time.Millisecond)
		b.stall = stall
		var worst float64
		b.saturate(time.Second)
		for range 50 {
			b.offer(0.9*b.rate, 100*time.Millisecond)
			worst = max(worst, b.s.window.rate/b.rate)
		}
		t.Logf("stalls of %v: at most %.2f of the rate", stall, worst)
		if worst > 1.1 {
			t.Errorf("stalls of %v: a link is believed to have %.2f of its rate", stall, worst)
		}
	}
}

func TestWindowFollowsTheRate(t *testing.T) {
	b := newBottleneck(50*mbit, 15*time.Millisecond)
	b.saturate(5 * time.Second)
	for _, rate := range []float64{10, 50, 25, 50} {
		b.rate = rate * mbit
		b.saturate(2 * time.Second)
		share, queueing := b.share(2 * time.Second)
		t.Logf("%v Mbit/s: share %.3f, mean queueing %v", rate, share, queueing)
		if share < 0.9 || queueing > 40*time.Millisecond {
			t.Errorf("%v Mbit/s: two seconds after the change %.3f of the rate, queueing %v", rate, share, queueing)
		}
	}
}

// TestLossIsFoundOnce: every datagram that the link drops is called lost
// exactly once, and none that arrived, on a link that keeps order.
func TestLossIsFoundOnce(t *testing.T) {
	b := newBottleneck(20*mbit, 10*time.Millisecond)
	b.loss = 0.1
	var sent, dropped, found uint64
	for range 4000 {
		before := len(b.flight)
		b.send()
		sent++
		if len(b.flight) == before {
			dropped++
		}
		b.now += core.Time(600 * time.Microsecond)
		b.deliver()
	}
	for range 1000 {
		b.now += core.Time(time.Millisecond)
		b.deliver()
	}
	st := b.s.Stats()
	found = st.Lost
	if found != dropped || st.Acked != sent-dropped || st.SpuriousLost != 0 {
		t.Errorf("sent %d, dropped %d; acked %d, lost %d, spurious %d", sent, dropped, st.Acked, found, st.SpuriousLost)
	}
	if b.s.inFlight != 0 {
		t.Errorf("%d bytes in flight at the end", b.s.inFlight)
	}
}

// TestRecordsHoldPacketsOnce: references are given back or handed over.
func TestRecordsHoldPacketsOnce(t *testing.T) {
	s, pool := NewSender(true), packet.NewPool(100)
	now := core.Time(time.Hour)
	for range 10 {
		p := pool.Get()
		s.Sent(now, 1000, true, p, wire.Whole)
		p.Release()
	}
	ack := wire.Ack{Ranges: []wire.Range{{First: 5, Last: 6}, {First: 0, Last: 2}}, Arrivals: []wire.Arrival{{Number: 6, At: now}}}
	lost := s.Acked(now+1e7, &ack, nil)
	if len(lost) != 2 || lost[0].Number != 3 || lost[1].Number != 4 {
		t.Fatalf("lost %+v, want 3 and 4", lost)
	}
	if pool.Live() != 5 {
		t.Errorf("%d packets live, want 2 lost and 3 in flight", pool.Live())
	}
	for _, l := range s.Close(now, lost) {
		l.Held.Release()
	}
	if pool.Live() != 0 {
		t.Errorf("%d packets live at the end", pool.Live())
	}
}

func TestForeignAcksAreIgnored(t *testing.T) {
	s := NewSender(true)
	ack := wire.Ack{Ranges: []wire.Range{{First: 1000, Last: 2000}}, Arrivals: []wire.Arrival{{Number: 2000, At: 1}}}
	if lost := s.Acked(1e9, &ack, nil); len(lost) != 0 || s.rtt.known() {
		t.Error("numbers that were never sent have an effect")
	}
}

func TestRecordsAreBounded(t *testing.T) {
	s := NewSender(false)
	for i := range maxRecords + 100 {
		s.Sent(core.Time(i), 100, true, nil, wire.Whole)
	}
	if n := len(s.records) - s.head; n != maxRecords || s.Stats().GivenUp != 100 {
		t.Errorf("%d records, %d given up, want %d and 100", n, s.Stats().GivenUp, maxRecords)
	}
}

func TestReorderingLinkIsExcused(t *testing.T) {
	s := NewSender(true)
	now := core.Time(time.Hour)
	for range 10 {
		s.Sent(now, 1000, true, nil, wire.Whole)
		now += 1e6
	}
	ack := func(ranges ...wire.Range) {
		now += 1e6
		s.Acked(now, &wire.Ack{Ranges: ranges, Arrivals: []wire.Arrival{{Number: ranges[0].Last, At: now}}}, nil)
	}
	ack(wire.Range{First: 3, Last: 3}, wire.Range{First: 0, Last: 1})
	ack(wire.Range{First: 0, Last: 4})
	if s.Stats().SpuriousLost != 1 || s.reorder.tolerance.by == 0 {
		t.Fatalf("spurious %d, tolerance %v", s.Stats().SpuriousLost, s.reorder.tolerance.by)
	}
	lost := s.Stats().Lost
	ack(wire.Range{First: 6, Last: 6}, wire.Range{First: 0, Last: 4})
	if s.Stats().Lost != lost {
		t.Error("a datagram within the tolerance is called lost")
	}
}

// TestLateAnswerIsNoReordering: what was called lost for its age, as its report did
// not come, and is acknowledged after all, delays only the next such verdict.
func TestLateAnswerIsNoReordering(t *testing.T) {
	s := NewSender(true)
	now := core.Time(time.Hour)
	ack := func(ranges ...wire.Range) {
		s.Acked(now, &wire.Ack{Ranges: ranges, Arrivals: []wire.Arrival{{Number: ranges[0].Last, At: now}}}, nil)
	}
	send := func(n int) {
		for range n {
			s.Sent(now, 1000, true, nil, wire.Whole)
		}
	}
	send(1)
	now += 20e6
	ack(wire.Range{First: 0, Last: 0})
	send(2)
	before := s.tailAge()
	now = s.NextTimeout()
	if lost := s.HandleTimeout(now, nil); len(lost) != 2 {
		t.Fatalf("%d lost for their age, want 2", len(lost))
	}
	now += 5e6
	ack(wire.Range{First: 0, Last: 2})
	if s.Stats().SpuriousLost != 2 || s.reorder.tolerance.by != 0 || s.tailAge() <= before {
		t.Errorf("spurious %d, tolerance %v, lost after %v, before %v",
			s.Stats().SpuriousLost, s.reorder.tolerance.by, s.tailAge(), before)
	}
	send(2)
	now += 20e6
	lost := s.Stats().Lost
	ack(wire.Range{First: 4, Last: 4}, wire.Range{First: 0, Last: 2})
	if s.Stats().Lost != lost+1 {
		t.Error("a gap on a link that keeps order is tolerated")
	}
	now += core.Time(10 * allowanceLife)
	for range 8 {
		send(1)
		now += core.Time(allowanceLife)
		ack(wire.Range{First: 0, Last: s.next - 1})
	}
	if s.reorder.patience.by != 0 {
		t.Errorf("still %v of patience", s.reorder.patience.by)
	}
}

// TestOutageIsNoLoss: what is lost while a link is silent and closed does not
// count as its loss, and it goes on at its old rate.
func TestOutageIsNoLoss(t *testing.T) {
	b := newBottleneck(20*mbit, 10*time.Millisecond)
	b.loss = 0.02
	b.saturate(3 * time.Second)
	before, guess := b.s.Estimate().Loss, b.s.Guess()
	if guess.Rate < 15*mbit || guess.Rate > 25*mbit || guess.Window < 40_000 {
		t.Fatalf("the guess is %+v", guess)
	}
	b.loss = 1
	for range 40 {
		b.send()
		b.now += core.Time(time.Millisecond)
		b.deliver()
	}
	b.s.HandleTimeout(b.now.Add(time.Second), nil)
	b.s.Close(b.now, nil)
	for range 20 { // probes
		b.send()
		b.now += core.Time(100 * time.Millisecond)
		b.s.HandleTimeout(b.now, nil)
	}
	b.s.Reopen(guess)
	e := b.s.Estimate()
	if e.Loss > before*1.2 || e.Window < guess.Window || e.Rate != guess.Rate || e.Delay > time.Hour {
		t.Errorf("loss %.4f before, after the outage %+v", before, e)
	}
	b.s.Reopen(Guess{})
	if e := b.s.Estimate(); e.Window != startWindow || !e.Starting {
		t.Errorf("without a guess %+v", e)
	}
}
