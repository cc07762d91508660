package link

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
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
		{"82 Mbit/s 15 ms, queue 7 ms, 2 % loss", 82.5 * mbit, 15 * time.Millisecond, 7 * time.Millisecond, 0.02, 0.85, 0.06},
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

// TestRateOfLossyLink: what was guessed before anything was delivered is
// forgotten, though the window of a link that drops what is too much never
// fills.
func TestRateOfLossyLink(t *testing.T) {
	b := newBottleneck(1.07*mbit, 2*time.Millisecond)
	b.queue, b.step = 12*time.Millisecond, 100*time.Microsecond
	b.saturate(5 * time.Second)
	if got := b.s.Estimate().Rate / b.rate; got < 0.7 || got > 1.3 {
		t.Errorf("believed to have %.2f of its rate", got)
	}
}

// TestPaceFollowsDelivery: the pace of a shallow queue does not rise on traffic
// that does not fill the link.
func TestPaceFollowsDelivery(t *testing.T) {
	b := newBottleneck(40.6*mbit, 24*time.Millisecond)
	b.queue, b.step = 7*time.Millisecond, 100*time.Microsecond
	b.saturate(10 * time.Second)
	if !b.s.window.shallow.active {
		t.Fatal("the queue is not known to be shallow")
	}
	b.offer(b.rate/4, 20*time.Second)
	if most := 1.5 * b.rate; b.s.window.shallow.pace > most {
		t.Errorf("a pace of %.1f times the rate", b.s.window.shallow.pace/b.rate)
	}
}

// TestCutWaits: what is lost in the round after a cut left before it, and says
// nothing of the pace since; the pace does not rise until the loss is judged again.
func TestCutWaits(t *testing.T) {
	b := newBottleneck(40.6*mbit, 24*time.Millisecond)
	b.queue, b.step = 7*time.Millisecond, 100*time.Microsecond
	b.saturate(10 * time.Second)
	w := &b.s.window
	if !w.shallow.active {
		t.Fatal("the queue is not known to be shallow")
	}
	w.shallow.acked, w.shallow.lost, w.shallow.cuts, w.rest = 0, 0, 0, 0
	round := func(packets, lost int) {
		w.round.acked, w.round.lost, w.round.least = (packets-lost)*segment, lost*segment, b.s.delay.floor.get()
		w.held = true
		w.steer(b.now, b.s)
	}
	for i, c := range []struct{ packets, lost, cuts int }{
		{100, 40, 1}, {100, 40, 1}, {100, 40, 2}, {100, 40, 2}, {shallowBatch / 2, 0, 2}, {shallowBatch, 0, 0},
	} {
		before := w.shallow.pace
		round(c.packets, c.lost)
		if w.shallow.cuts != c.cuts {
			t.Errorf("round %d: %d cuts, want %d", i, w.shallow.cuts, c.cuts)
		}
		if c.cuts > 0 && w.shallow.pace > before {
			t.Errorf("round %d: a pace of %.0f, was %.0f", i, w.shallow.pace, before)
		}
	}
}

// TestDeepQueueForgetsLoss: when there is room for a queue, what was lost before
// counts no more; the trial would take its rate from the time since.
func TestDeepQueueForgetsLoss(t *testing.T) {
	b := newBottleneck(40.6*mbit, 24*time.Millisecond)
	b.queue, b.step = 7*time.Millisecond, 100*time.Microsecond
	b.saturate(10 * time.Second)
	w := &b.s.window
	w.shallow.active, w.shallow.acked, w.shallow.lost = true, segment, segment
	w.round.least = b.s.delay.floor.get() + time.Second
	w.steer(b.now, b.s)
	if h := w.shallow; h.active || h.acked != 0 || h.lost != 0 {
		t.Errorf("active %v, %d bytes acknowledged and %d lost", h.active, h.acked, h.lost)
	}
}

// TestStartOfIdleTraffic: bursts far below the window do not make it grow.
func TestStartOfIdleTraffic(t *testing.T) {
	const burst = 24 * segment
	b := newBottleneck(50*mbit, 20*time.Millisecond)
	for range 200 {
		for range burst / segment {
			for open, _ := b.s.Open(b.now); !open; open, _ = b.s.Open(b.now) {
				b.s.Limited()
				b.deliver()
				b.now += core.Time(b.step)
			}
			b.send()
		}
		for end := b.now.Add(60 * time.Millisecond); b.now < end; b.now += core.Time(b.step) {
			b.deliver()
		}
	}
	if got := b.s.Estimate().Window; got > startWindow+2*burst {
		t.Errorf("bursts of %d bytes, a window of %d", burst, got)
	}
}
