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

// TestLossOfAYoungLink: a link that loses is known to after few datagrams, when
// the average still lacks most of it. (Its start fills the queue, too.)
func TestLossOfAYoungLink(t *testing.T) {
	b := newBottleneck(2*mbit, 20*time.Millisecond)
	if l := b.s.UnbiasedLoss(); l != 0 {
		t.Errorf("loss %v before the first datagram", l)
	}
	b.loss = 0.05
	b.saturate(time.Second)
	if e, l := b.s.Estimate(), b.s.UnbiasedLoss(); l < 0.03 || l > 0.15 || e.Loss > l/2 {
		t.Errorf("after %d datagrams loss %.4f, made up for %.4f", b.s.Stats().Acked, e.Loss, l)
	}
}
