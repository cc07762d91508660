package link

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// bursts runs d with a sender that has n packets every so often.
func (b *bottleneck) bursts(n int, every, d time.Duration) {
	waiting, next := 0, b.now
	for end := b.now.Add(d); b.now < end; b.now += core.Time(b.step) {
		b.deliver()
		if b.now >= next {
			waiting, next = n, next.Add(every)
		}
		for open := true; waiting > 0 && open; {
			if open, _ = b.s.Open(b.now); open {
				b.send()
				waiting--
			}
		}
		if waiting > 0 {
			b.s.Limited()
		}
	}
}

// TestBurstsOnShallowQueue: bursts that a queue of a few packets cannot take are
// spaced, though they never fill the window.
func TestBurstsOnShallowQueue(t *testing.T) {
	for _, c := range []struct {
		name         string
		rate         float64
		delay, queue time.Duration
	}{
		{"3 Mbit/s 2 ms, queue 15 ms", 2.85 * mbit, 2 * time.Millisecond, 15 * time.Millisecond},
		{"1 Mbit/s 6 ms, queue 9 ms", 1.23 * mbit, 6 * time.Millisecond, 9 * time.Millisecond},
		{"2 Mbit/s 1 ms, queue 9 ms", 2.17 * mbit, time.Millisecond, 9 * time.Millisecond},
	} {
		b := newBottleneck(c.rate, c.delay)
		b.queue, b.step = c.queue, 100*time.Microsecond
		const n = 5
		every := time.Duration(n * segment / (0.8 * c.rate) * 1e9)
		b.bursts(n, every, 10*time.Second)
		before := b.s.Stats()
		b.bursts(n, every, 20*time.Second)
		after := b.s.Stats()
		lost := float64(after.Lost-before.Lost) / float64(after.Datagrams-before.Datagrams)
		t.Logf("%-32s lost %.3f, window %d", c.name, lost, b.s.window.size)
		if lost > 0.1 {
			t.Errorf("%s: %.3f of the bursts are lost", c.name, lost)
		}
	}
}

// TestSparseTrafficOnLossyLink: a link that loses at random is not held to what
// sparse traffic needed of it.
func TestSparseTrafficOnLossyLink(t *testing.T) {
	b := newBottleneck(50*mbit, 20*time.Millisecond)
	b.loss = 0.2
	b.offer(2*mbit, 20*time.Second)
	b.saturate(3 * time.Second)
	if share, _ := b.share(5 * time.Second); share < 0.7 {
		t.Errorf("%.3f of the rate after sparse traffic", share)
	}
}
