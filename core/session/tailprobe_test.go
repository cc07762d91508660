package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// lonely sends 600 packets that nothing follows from the server over one link of 20 ms
// that loses as told. It returns how long each took, 0 for those that did not come, and
// the number of probes.
func lonely(t *testing.T, loss float64, retransmit bool) (took []time.Duration, probes uint64) {
	const count, every = 600, 150 * time.Millisecond
	st := wholeStrategy
	st.Retransmit = retransmit
	w := newWorld(t, st, "flow")
	down := calm(20 * time.Millisecond)
	down.loss = loss
	w.link(0, calm(20*time.Millisecond), down)
	w.run(8 * time.Second) // the probes of the beginning are over
	took = make([]time.Duration, count)
	sent := make([]core.Time, count)
	before := w.counters(server).ProbesSent
	for i := range count {
		w.at(w.now.Add(time.Duration(i)*every), func() {
			sent[i] = w.now
			w.send(server, numbered(uint64(i), 1000))
		})
	}
	w.run(count*every + time.Second)
	for i, p := range w.ends[client].received {
		n := number(p)
		took[n] = w.ends[client].at[i].Sub(sent[n])
	}
	return took, w.counters(server).ProbesSent - before
}

// TestTailIsRepaired: what is lost with nothing behind it is repaired before the inner
// sender would send its own probe, two round trips after the packet.
func TestTailIsRepaired(t *testing.T) {
	took, _ := lonely(t, 0.025, true)
	late := 0
	for i, d := range took {
		if d == 0 {
			t.Fatalf("packet %d did not come", i)
		}
		// The repair is one round trip and the wait for the question later.
		if d > 70*time.Millisecond {
			late++
		}
	}
	// Those whose question, report or repair was lost too.
	if share := float64(late) / float64(len(took)); share > 0.01 {
		t.Errorf("%.3f of the packets came after more than 70 ms", share)
	}
}

// TestTailQuestions: one for each of 600 packets on a link that loses, none on one that
// does not, on one that loses very much, or whose losses are not repaired, but the probes of every link.
func TestTailQuestions(t *testing.T) {
	for name, v := range map[string]struct {
		loss        float64
		retransmit  bool
		least, most uint64
	}{
		"no loss":   {0, true, 0, 20},
		"much":      {0.3, true, 0, 400},
		"no repair": {0.025, false, 0, 100}, // a link that does not answer is asked
		"loss":      {0.025, true, 500, 800},
	} {
		if _, probes := lonely(t, v.loss, v.retransmit); probes < v.least || probes > v.most {
			t.Errorf("%s: %d probes, want %d to %d", name, probes, v.least, v.most)
		}
	}
}
