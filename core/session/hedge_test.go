package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// TestCallOfSilentLink: a call goes on over the other link before the one it
// uses is suspect. The link goes silent at 20 moments between two packets.
func TestCallOfSilentLink(t *testing.T) {
	for shift := range 20 {
		w := newWorld(t, wholeStrategy, "flow")
		w.link(0, calm(20*time.Millisecond), calm(20*time.Millisecond))
		w.link(1, calm(45*time.Millisecond), calm(45*time.Millisecond))
		w.run(time.Second)
		w.call(150, 120)
		w.at(w.now.Add(1500*time.Millisecond+time.Duration(shift)*time.Millisecond), func() {
			w.ends[client].pipes[0].dead, w.ends[server].pipes[0].dead = true, true
		})
		w.run(4 * time.Second)
		for i, e := range w.ends {
			gap := time.Duration(0)
			for n := 1; n < len(e.at); n++ {
				gap = max(gap, e.at[n].Sub(e.at[n-1]))
			}
			if gap > 95*time.Millisecond || len(e.at) != 150 {
				t.Errorf("end %d, %d ms: %d of 150 packets, a gap of %v", i, shift, len(e.at), gap)
			}
		}
	}
}

// TestCallOfSoundLink: on a link that answers in time nothing is sent twice.
func TestCallOfSoundLink(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	w.link(0, calm(20*time.Millisecond), calm(20*time.Millisecond))
	w.link(1, calm(45*time.Millisecond), calm(45*time.Millisecond))
	w.run(time.Second)
	w.call(500, 120)
	w.run(11 * time.Second)
	for i := range w.ends {
		if n := w.counters(i).CallCopies; n > 0 {
			t.Errorf("end %d: %d copies", i, n)
		}
	}
}

func TestHedgeIsBounded(t *testing.T) {
	var h hedge
	for n := range uint64(3 * maxSpoken) {
		h.sent(core.Time(n), n)
	}
	if len(h.spoken) != maxSpoken || h.spoken[0].number != 2*maxSpoken || cap(h.spoken) > 2*maxSpoken {
		t.Errorf("%d of %d, from %d on, room for %d", len(h.spoken), maxSpoken, h.spoken[0].number, cap(h.spoken))
	}
}
