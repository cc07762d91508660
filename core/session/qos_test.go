package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/qos"
)

func rulesOf(t testing.TB, texts ...qos.Text) *qos.Rules {
	t.Helper()
	rules, err := qos.ParseAll(texts)
	if err != nil {
		t.Fatal(err)
	}
	return qos.New(rules)
}

// TestPriorityShares: of two UDP streams that want more than there is, the one
// of priority 1 gets more than 90 %, and the other at least 5 %.
func TestPriorityShares(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	e := w.ends[server]
	e.s.SetQoS(w.now, QoS{Rules: rulesOf(t, qos.Text{Port: "7000", Priority: 1}), Send: qos.Down}, &e.out)
	high := func(n uint64) []byte {
		p := answered(n, 1000)
		p[20], p[21] = 7000>>8, 7000&0xff
		return p
	}
	for step := range 60000 {
		w.at(w.now.Add(time.Duration(step)*100*time.Microsecond), func() {
			w.send(server, answered(uint64(step), 1000), high(uint64(step)))
		})
	}
	w.run(6 * time.Second)
	got := map[byte]int{}
	c := w.ends[client]
	for i, p := range c.received {
		if w.now.Sub(c.at[i]) < 4*time.Second {
			got[p[21]]++
		}
	}
	low, top := got[6000&0xff], got[7000&0xff]
	share := float64(top) / float64(top+low)
	t.Logf("%d packets of priority 1, %d of 3: %.1f %%", top, low, 100*share)
	if share < 0.90 || share > 0.95 {
		t.Errorf("priority 1 got %.1f %%", 100*share)
	}
}

// TestLatencyRuleBothWays: with a rule at the client alone the server answers
// with low latency, and no longer when the rule is gone.
func TestLatencyRuleBothWays(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	set := func(r *qos.Rules) {
		e := w.ends[client]
		e.s.SetQoS(w.now, QoS{Rules: r, Send: qos.Up}, &e.out)
	}
	marks := func() (up, down uint64) {
		return w.ends[client].s.counters.TxLowLatency, w.ends[server].s.counters.TxLowLatency
	}
	set(rulesOf(t, qos.Text{Address: "198.18.0.1", Protocol: "udp", Latency: qos.Low}))
	w.talk(time.Second)
	w.run(2 * time.Second)
	if up, down := marks(); up != 50 || down < 45 {
		t.Errorf("%d packets up and %d down had low latency, want 50", up, down)
	}
	set(nil)
	w.talk(time.Second)
	w.run(100 * time.Millisecond)
	_, before := marks()
	w.run(2 * time.Second)
	if up, down := marks(); up != 50 || down != before {
		t.Errorf("without the rule %d packets up and %d down had low latency", up-50, down-before)
	}
}

// TestCountersOutliveWhatCounts: what resequencer and shaper have counted is in the
// counters once, while they are there and when others have taken their place.
func TestCountersOutliveWhatCounts(t *testing.T) {
	now, out := core.Time(time.Hour), &Output{}
	s, err := New(Config{Send: wholeStrategy, Reorder: "global"}, now)
	if err != nil {
		t.Fatal(err)
	}
	s.SetQoS(now, QoS{Rules: rulesOf(t, qos.Text{Port: "443", Priority: 1}), Send: qos.Up, Window: true}, out)
	lowerWindow(t, s.shaper, now)
	for _, change := range []struct {
		name string
		do   func()
	}{
		{"nothing", func() {}},
		{"another resequencer", func() {
			if err := s.SetReorder(now, "none", out); err != nil {
				t.Fatal(err)
			}
		}},
		{"no shaper", func() { s.SetQoS(now, QoS{}, out) }},
	} {
		change.do()
		if n := s.Snapshot(now).Counters.WindowsLowered; n != 1 {
			t.Errorf("%s: %d windows lowered, want 1", change.name, n)
		}
	}
}

// lowerWindow makes a shaper lower one window: that of a flow of low priority beside
// one of high priority, on links that are congested.
func lowerWindow(t *testing.T, s *qos.Shaper, now core.Time) {
	t.Helper()
	segment := func(flags byte, window uint16, payload int) []byte {
		p, at, _ := inner{}.build(make([]byte, payload))
		p[at+13], p[at+14], p[at+15] = flags, byte(window>>8), byte(window)
		return p
	}
	const syn, ack, flow, other = 0x02, 0x10, 1, 2
	s.Sent(now, segment(syn, 0xffff, 0), true, flow)
	s.Received(now, segment(syn|ack, 0xffff, 0), flow, qos.Lowest)
	s.Received(now, segment(ack, 0xffff, 1000), flow, qos.Lowest)
	s.Received(now, segment(ack, 0xffff, 1000), other, qos.Highest)
	s.Backlog(now, time.Second)
	s.Sent(now.Add(time.Second/2), segment(ack, 0xffff, 0), true, flow)
	if n := s.Lowered(); n != 1 {
		t.Fatalf("%d windows lowered, want 1", n)
	}
}
