package link

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core/wire"
)

// TestPassable: past a closed window or pacer leave small packets, but no more than
// about a full one in all.
func TestPassable(t *testing.T) {
	const small = 150
	for _, rate := range []float64{1, 50} {
		b := newBottleneck(rate*mbit, 20*time.Millisecond)
		b.saturate(5 * time.Second)
		for open := true; open; open, _ = b.s.Open(b.now) {
			b.send()
		}
		passed := 0
		for b.s.Passable(b.now) {
			b.s.Sent(b.now, small, true, nil, wire.Whole)
			passed += small
		}
		if passed == 0 || passed > 2*segment {
			t.Errorf("%v Mbit/s: %d bytes have passed, want some and at most about %d", rate, passed, segment)
		}
	}
}

// TestPassableKeepsToACap: what the user has set holds for all packets.
func TestPassableKeepsToACap(t *testing.T) {
	b := newBottleneck(50*mbit, 20*time.Millisecond)
	b.s.SetCap(1 * mbit)
	b.saturate(time.Second)
	if b.s.Passable(b.now) && b.s.limit.next > b.now {
		t.Error("a packet may pass a cap")
	}
}

// TestOwnTimeIsNoJitter: what a slow link takes for a full packet, beside what it takes
// for a small one, is not taken for jitter once its rate is known.
func TestOwnTimeIsNoJitter(t *testing.T) {
	const small = 100
	b := newBottleneck(1*mbit, 20*time.Millisecond)
	alternate := func() {
		for i := range 60 {
			b.sendSized([]int{small, segment}[i%2])
			b.offer(0, 100*time.Millisecond)
		}
	}
	alternate()
	before, own := b.s.delay.idle, time.Duration(segment/b.rate*1e9)
	b.saturate(3 * time.Second)
	if after := b.s.delay.idle; b.s.window.starting || after > own {
		t.Errorf("jitter of %v of a link that has none, %v before its rate was known", after, before)
	}
	b.offer(0, time.Second)
	for range 3 {
		alternate()
	}
	if idle := b.s.delay.idle; idle > own/4 {
		t.Errorf("jitter of %v later, want none to speak of", idle)
	}
}
