package link

import (
	"slices"
	"testing"
	"time"
)

// TestCalm: while packets of low latency leave on a link, bulk traffic makes
// next to no queue there and still gets most of the rate, and afterwards all.
func TestCalm(t *testing.T) {
	for _, rate := range []float64{5, 20, 100} {
		b := newBottleneck(rate*mbit, 20*time.Millisecond)
		b.saturate(5 * time.Second)
		call := func(d time.Duration) {
			for range d / (20 * time.Millisecond) {
				b.s.Calm(b.now)
				b.saturate(20 * time.Millisecond)
			}
		}
		call(5 * time.Second)
		b.delivered, b.queueing = 0, nil
		call(10 * time.Second)
		share := float64(b.delivered) / b.rate / 10
		slices.Sort(b.queueing)
		p99 := b.queueing[len(b.queueing)*99/100]
		t.Logf("%v Mbit/s: share %.3f, p99 of the queueing %v", rate, share, p99)
		if share < 0.8 || p99 > 10*time.Millisecond {
			t.Errorf("%v Mbit/s: share %.3f, p99 of the queueing %v", rate, share, p99)
		}
		b.saturate(calmFor + 3*time.Second)
		if share, _ := b.share(5 * time.Second); share < 0.97 {
			t.Errorf("%v Mbit/s: share %.3f afterwards", rate, share)
		}
	}
}

// TestCalmKeepsAThird: what looks like a queue and is none does not close a
// calm link.
func TestCalmKeepsAThird(t *testing.T) {
	b := newBottleneck(50*mbit, 20*time.Millisecond)
	b.saturate(5 * time.Second)
	before := b.s.window.size
	b.jitter = 60 * time.Millisecond
	for range 500 {
		b.s.Calm(b.now)
		b.saturate(20 * time.Millisecond)
	}
	if b.s.window.size < before/calmShare {
		t.Errorf("window %d of %d", b.s.window.size, before)
	}
}
