package link

import (
	"testing"
	"time"
)

// TestFallOfTheRate: what a link loses because its rate has fallen is no random
// loss, the rate is known soon, and the window of before is remembered for a
// while.
func TestFallOfTheRate(t *testing.T) {
	b := newBottleneck(50*mbit, 20*time.Millisecond)
	b.saturate(5 * time.Second)
	if f := b.s.Fallen(b.now); f != 0 {
		t.Errorf("%d bytes before it fell", f)
	}
	before := b.s.window.size
	b.rate = 10 * mbit
	b.saturate(500 * time.Millisecond)
	e := b.s.Estimate()
	if e.Rate > 1.2*b.rate || e.Rate < 0.8*b.rate {
		t.Errorf("rate %.1f Mbit/s", e.Rate/mbit)
	}
	if e.Loss == 0 || e.Random > e.Loss/20 {
		t.Errorf("loss %.2g, of it random %.2g", e.Loss, e.Random)
	}
	if f := b.s.Fallen(b.now); f < before/2 || f > before {
		t.Errorf("the window of %d is taken to have fallen by %d", before, f)
	}
	b.saturate(fallMemory)
	if f := b.s.Fallen(b.now); f != 0 {
		t.Errorf("%d bytes long after", f)
	}
	if share, _ := b.share(5 * time.Second); share < 0.97 {
		t.Errorf("share %.3f", share)
	}
}

// TestLossWithoutQueueIsRandom: a link that loses without a queue is repaired.
func TestLossWithoutQueueIsRandom(t *testing.T) {
	b := newBottleneck(50*mbit, 20*time.Millisecond)
	b.loss = 0.01
	b.saturate(5 * time.Second)
	if e := b.s.Estimate(); e.Random < 0.9*e.Loss || e.Loss == 0 {
		t.Errorf("loss %.2g, of it random %.2g", e.Loss, e.Random)
	}
}
