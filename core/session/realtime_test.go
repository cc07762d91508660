package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
)

// calm is a link with little in its way.
func calm(delay time.Duration) pipe {
	return pipe{rate: 20 * mbit, delay: delay, queue: 100 * time.Millisecond}
}

// marked makes an end send a flow with low latency for the rest of the test.
func (w *world) marked(i int, packet []byte) {
	e := w.ends[i]
	e.s.answers = &answers{}
	var again func()
	again = func() {
		e.s.answers.note(classify.Flow(packet), true, w.now)
		w.at(w.now.Add(time.Millisecond), again) // unmarked packets of the peer end it
	}
	again()
}

// answered is numbered, in the other direction.
func answered(n uint64, size int) []byte {
	p := numbered(n, size)
	copy(p[12:], []byte{198, 18, 0, 1, 10, 8, 0, 2, 6000 >> 8, 6000 & 0xff, 5000 >> 8, 5000 & 0xff})
	return p
}

// talk sends 50 packets a second each way for a while.
func (w *world) talk(d time.Duration) {
	for t := time.Duration(0); t < d; t += 20 * time.Millisecond {
		w.at(w.now.Add(t), func() { w.send(client, numbered(0, 200)) })
		w.at(w.now.Add(t+10*time.Millisecond), func() { w.send(server, answered(0, 200)) })
	}
}

// carried is what an end sent on a link.
func (w *world) carried(i int, id core.LinkID) uint64 {
	return w.ends[i].s.links[id].tx.Stats().Bytes
}

// TestLowestLatencyEachWay: marked packets take the quick link up, and their
// answers the quick link down, which is another one; both follow within a
// second when the order changes, and when the link goes silent.
func TestLowestLatencyEachWay(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	w.link(0, calm(10*time.Millisecond), calm(60*time.Millisecond))
	w.link(1, calm(60*time.Millisecond), calm(10*time.Millisecond))
	w.marked(client, numbered(0, 200))
	w.run(time.Second)
	w.talk(9 * time.Second)
	w.run(time.Second) // the server learns the flow
	check := func(what string, up, down core.LinkID) {
		t.Helper()
		before := [2][2]uint64{{w.carried(client, 0), w.carried(client, 1)}, {w.carried(server, 0), w.carried(server, 1)}}
		w.run(time.Second)
		for i, want := range []core.LinkID{up, down} {
			good, bad := w.carried(i, want)-before[i][want], w.carried(i, 1-want)-before[i][1-want]
			// 50 packets of 200 bytes on the good link; reports and probes on both.
			if good < 10_000 || bad > 6_000 {
				t.Errorf("%s: end %d sent %d bytes on link %d and %d on the other", what, i, good, want, bad)
			}
		}
	}
	check("at first", 0, 1)
	set := func(i int, id core.LinkID, delay time.Duration) { w.ends[i].pipes[id].delay = delay }
	set(client, 0, 90*time.Millisecond)
	set(server, 1, 90*time.Millisecond)
	w.run(time.Second)
	check("after a change", 1, 0)
	set(client, 0, 10*time.Millisecond)
	set(server, 1, 10*time.Millisecond)
	w.run(time.Second)
	check("after a change back", 0, 1)
	w.ends[client].pipes[0].dead, w.ends[server].pipes[0].dead = true, true
	w.run(time.Second)
	check("after the link went silent", 1, 1)
	for i, e := range w.ends {
		var stall time.Duration
		for j := 1; j < len(e.at); j++ {
			stall = max(stall, e.at[j].Sub(e.at[j-1]))
		}
		c := e.s.Snapshot(w.now).Counters
		t.Logf("end %d: longest gap %v, %d of %d packets marked, %d switches", i, stall, c.TxLowLatency, c.TxPackets, c.UrgentSwitches)
		if stall > 250*time.Millisecond || c.UrgentSwitches > 6 {
			t.Errorf("end %d: longest gap %v, %d switches", i, stall, c.UrgentSwitches)
		}
	}
}

// TestUrgentBesideBulk: what wants low latency does not wait behind a download
// that fills all links.
func TestUrgentBesideBulk(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	for id := range core.LinkID(2) {
		w.link(id, pipe{rate: 4 * mbit, delay: 10 * time.Millisecond, queue: 100 * time.Millisecond},
			pipe{rate: 4 * mbit, delay: 10 * time.Millisecond, queue: 100 * time.Millisecond})
	}
	w.marked(server, answered(0, 200))
	w.run(time.Second)
	w.stream(server, 12*mbit, 1200, 4*time.Second)
	sent := map[uint64]core.Time{}
	for i := range uint64(150) {
		w.at(w.now.Add(time.Second+time.Duration(i)*20*time.Millisecond), func() {
			sent[i] = w.now
			w.send(server, answered(i, 200))
		})
	}
	w.run(5 * time.Second)
	e := w.ends[client]
	var worst time.Duration
	got := 0
	for i, p := range e.received {
		if len(p) == 200 {
			got++
			worst = max(worst, e.at[i].Sub(sent[number(p)]))
		}
	}
	t.Logf("%d of 150 came, the last after %v", got, worst)
	if got != 150 || worst > 40*time.Millisecond {
		t.Errorf("%d of 150 came, the last after %v", got, worst)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	var a answers
	const now = core.Time(time.Hour)
	for flow := range uint32(20_000) {
		a.note(flow, true, now+core.Time(flow))
	}
	if a.n != answerSets*answerWays {
		t.Errorf("%d flows, want %d", a.n, answerSets*answerWays)
	}
	for _, c := range []struct {
		flow uint32
		at   core.Time
		want bool
	}{
		{19_999, now + 20_000, true},
		{1, now + 20_000, false}, // gave way
		{19_999, now.Add(answerAge) + 20_000, false},
	} {
		if got := a.wants(c.flow, c.at); got != c.want {
			t.Errorf("flow %d: %v, want %v", c.flow, got, c.want)
		}
	}
	a.note(19_999, false, now+20_001)
	if a.wants(19_999, now+20_001) || a.n != answerSets*answerWays-1 {
		t.Errorf("a flow that wants no low latency any more is still there, %d in all", a.n)
	}
	if !(*answers)(nil).wants(1, now) == false {
		t.Error("no table wants something")
	}
}
