package link

import (
	"testing"
	"time"
)

// TestWindowOnShallowQueues: a link whose queue is shorter than the one aimed at
// is filled without losing much, and one that loses at random is not mistaken for it.
func TestWindowOnShallowQueues(t *testing.T) {
	for _, c := range []struct {
		name         string
		rate         float64
		delay, queue time.Duration
		loss         float64
		least, most  float64
	}{
		{"22 Mbit/s 6 ms, queue 1 ms", 22.65 * mbit, 6 * time.Millisecond, time.Millisecond, 0, 0.8, 0.03},
		{"40 Mbit/s 24 ms, queue 7 ms", 40.6 * mbit, 24 * time.Millisecond, 7 * time.Millisecond, 0, 0.8, 0.03},
		{"3 Mbit/s 18 ms, queue 12 ms", 2.83 * mbit, 18 * time.Millisecond, 12 * time.Millisecond, 0, 0.8, 0.03},
		{"90 Mbit/s 5 ms, queue 1 ms", 90 * mbit, 5 * time.Millisecond, time.Millisecond, 0, 0.8, 0.03},
		{"1 Mbit/s 13 ms, queue 8 ms", mbit, 13 * time.Millisecond, 8 * time.Millisecond, 0, 0.7, 0.03},
		{"40 Mbit/s 24 ms, queue 7 ms, 1 % loss", 40.6 * mbit, 24 * time.Millisecond, 7 * time.Millisecond, 0.01, 0.75, 0.05},
		{"50 Mbit/s 20 ms, 3 % loss", 50 * mbit, 20 * time.Millisecond, 100 * time.Millisecond, 0.03, 0.9, 0.04},
		{"50 Mbit/s 20 ms, 20 % loss", 50 * mbit, 20 * time.Millisecond, 100 * time.Millisecond, 0.2, 0.7, 0.25},
	} {
		b := newBottleneck(c.rate, c.delay)
		b.queue, b.loss, b.step = c.queue, c.loss, 100*time.Microsecond
		b.saturate(5 * time.Second)
		before := b.s.Stats()
		share, queueing := b.share(20 * time.Second)
		after := b.s.Stats()
		lost := float64(after.Lost-before.Lost) / float64(after.Datagrams-before.Datagrams)
		t.Logf("%-40s share %.3f, lost %.3f, mean queueing %v", c.name, share, lost, queueing)
		if share < c.least || lost > c.most {
			t.Errorf("%s: %.3f of the rate, want at least %.2f; lost %.3f, want at most %.2f", c.name, share, c.least, lost, c.most)
		}
	}
}
