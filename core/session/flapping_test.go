package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// TestStandingWaits: falls soon after a return make the next one wait, twice as
// long each, up to a limit, and steady use ends that.
func TestStandingWaits(t *testing.T) {
	var r standing
	now := core.Time(time.Second)
	fallAfter := func(used time.Duration, chance bool) time.Duration {
		r.returned(now)
		now = now.Add(used)
		r.fall(now, chance)
		now = now.Add(time.Second)
		return r.wait
	}
	for i, v := range []struct {
		used, wait time.Duration
		chance     bool
	}{
		{steadyUse / 2, 0, false}, // the first is no return
		{steadyUse / 2, firstWait, false},
		{steadyUse / 2, 2 * firstWait, false},
		{steadyUse / 2, 4 * firstWait, false},
		{steadyUse, 0, false},
		{steadyUse / 2, firstWait, false},
		{0, 2 * firstWait, false},
		{0, 4 * firstWait, false},
		{0, 8 * firstWait, false},
		{0, longestWait, false},
		{0, longestWait, true},
		{0, longestWait, false},
		{steadyUse, 0, true},
		{0, 0, true},
	} {
		if wait := fallAfter(v.used, v.chance); wait != v.wait {
			t.Errorf("fall %d after %v of use: waits %v, want %v", i, v.used, wait, v.wait)
		}
	}
}

// TestMayReturn: what a link must show depends on its past.
func TestMayReturn(t *testing.T) {
	const now = core.Time(20 * time.Second)
	for name, v := range map[string]struct {
		r            standing
		begins, want bool
	}{
		"new":                       {standing{row: 1}, true, true},
		"down, too few answers":     {standing{fell: 1, row: returnProbes - 1}, false, false},
		"down, enough answers":      {standing{fell: 1, row: returnProbes}, false, true},
		"waits":                     {standing{fell: now - 1, wait: firstWait, row: 100}, false, false},
		"has waited":                {standing{fell: now.Add(-firstWait), wait: firstWait, row: returnProbes}, false, true},
		"plugged in, waits":         {standing{fell: now - 1, wait: firstWait, row: 100}, true, false},
		"plugged in, has waited":    {standing{fell: 1, wait: firstWait, row: returnProbes}, true, true},
		"plugged in for the first":  {standing{fell: now - 1, row: 1}, true, true},
		"new keys while it is used": {standing{fell: now - 2, back: now - 1, wait: firstWait, row: 1}, true, true},
	} {
		if got := v.r.mayReturn(now, v.begins); got != v.want {
			t.Errorf("%s: %v, want %v", name, got, v.want)
		}
	}
}

// flappings are ways in which a link comes and goes.
var flappings = map[string]func(w *world, p pipe, alive bool){
	"silent": func(w *world, _ pipe, alive bool) {
		for _, e := range w.ends {
			e.pipes[1].dead = !alive
		}
	},
	"unplugged": func(w *world, p pipe, alive bool) {
		if alive {
			w.link(1, p, p)
			return
		}
		for _, e := range w.ends {
			e.s.RemoveLink(w.now, 1, &e.out)
			w.carryOut(e)
		}
	},
}

// TestFlappingLinkIsLeftAlone: a link that keeps coming and going gets next to
// no data, and is used again once it stays.
func TestFlappingLinkIsLeftAlone(t *testing.T) {
	for name, set := range flappings {
		for _, half := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond} {
			w := newWorld(t, wholeStrategy, "flow")
			p := pipe{rate: 20 * mbit, delay: 10 * time.Millisecond}
			w.link(0, p, p)
			w.link(1, p, p)
			w.stream(server, 16*mbit, 1300, 25*time.Second)
			w.run(time.Second)
			before := w.ends[server].s.Snapshot(w.now).Counters
			for end := w.now.Add(12 * time.Second); w.now < end; {
				set(w, p, false)
				w.run(half)
				set(w, p, true)
				w.run(half)
			}
			after := w.ends[server].s.Snapshot(w.now).Counters
			sent, again := after.TxPackets-before.TxPackets, after.Retransmitted-before.Retransmitted
			if again*50 > sent {
				t.Errorf("%s, %v: %d of %d packets were sent again", name, half, again, sent)
			}
			w.run(longestWait)
			back := w.linkOf(server, 1)
			w.run(time.Second)
			if n := w.linkOf(server, 1).Acked - back.Acked; back.State != "up" || n < 100 {
				t.Errorf("%s, %v: the link stays and is %s, and carries %d datagrams a second", name, half, back.State, n)
			}
		}
	}
}

// TestLinkReturnsSoon: a link that fell once is used soon after it is back.
func TestLinkReturnsSoon(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	w.stream(server, 20*mbit, 1300, 10*time.Second)
	w.run(2 * time.Second)
	flappings["silent"](w, pipe{}, false)
	w.run(2 * time.Second)
	if st := w.linkOf(server, 1).State; st != "down" {
		t.Fatalf("the silent link is %s", st)
	}
	flappings["silent"](w, pipe{}, true)
	w.run(probeDown + 300*time.Millisecond)
	if st := w.linkOf(server, 1).State; st != "up" {
		t.Errorf("the link is back and %s", st)
	}
}
