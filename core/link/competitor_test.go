package link

import (
	"math"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// cubicFlow is loss-based traffic of somebody else over a bottleneck: the window
// of RFC 9438 after a slow start that ends at the first queue.
type cubicFlow struct {
	window, top float64 // packets
	starting    bool
	epoch       core.Time
	recovery    core.Time // losses before it belong to the last cut
	flight      []fateAt  // in the order of at
	delivered   int
}

type fateAt struct {
	at   core.Time
	lost bool
}

func newCubicFlow() *cubicFlow { return &cubicFlow{window: 10, starting: true} }

// step takes what is due and sends what the window allows.
func (f *cubicFlow) step(b *bottleneck) {
	for len(f.flight) > 0 && f.flight[0].at <= b.now {
		if f.flight[0].lost {
			f.lose(b)
		} else {
			f.delivered += segment
			f.grow(b)
		}
		f.flight = f.flight[1:]
	}
	for len(f.flight) < int(f.window) {
		lost := b.free.Sub(b.now) > b.queue
		if !lost {
			b.free = max(b.free, b.now).Add(time.Duration(segment / b.rate * 1e9))
		}
		f.flight = append(f.flight, fateAt{b.free.Add(2 * b.delay), lost})
	}
}

func (f *cubicFlow) grow(b *bottleneck) {
	if f.starting {
		f.window++
		if b.free.Sub(b.now) > targetFloor {
			f.starting, f.top, f.epoch = false, f.window, b.now
		}
		return
	}
	k := math.Cbrt(f.top * 0.3 / 0.4)
	if f.top == f.window {
		k = 0
	}
	f.window = max(f.window, min(f.window+0.5, f.top+0.4*math.Pow(b.now.Sub(f.epoch).Seconds()-k, 3)))
}

func (f *cubicFlow) lose(b *bottleneck) {
	if b.now < f.recovery {
		return
	}
	f.starting, f.top, f.epoch = false, f.window, b.now
	f.window = max(2, 0.7*f.window)
	f.recovery = b.now.Add(2*b.delay + b.queue)
}

// beside runs the bottleneck's own flow beside others and returns the shares of
// the rate that it and they got.
func (b *bottleneck) beside(d time.Duration, others ...*cubicFlow) (own, theirs float64) {
	b.delivered = 0
	for _, f := range others {
		f.delivered = 0
	}
	for range int(d / b.step) {
		for _, f := range others {
			f.step(b)
		}
		b.saturate(b.step)
	}
	sum := 0
	for _, f := range others {
		sum += f.delivered
	}
	all := b.rate * d.Seconds()
	return float64(b.delivered) / all, float64(sum) / all
}

// TestSharesWithLossBasedTraffic: beside CUBIC flows a link keeps its fair share
// within a factor of two each way, whoever was there first, and has a short queue
// again soon after they are gone.
func TestSharesWithLossBasedTraffic(t *testing.T) {
	for _, c := range []struct {
		name          string
		rate          float64
		delay, queue  time.Duration
		others        int
		before, after time.Duration // that the link is used alone, or they are
	}{
		{"together", 50 * mbit, 20 * time.Millisecond, 100 * time.Millisecond, 1, 0, 0},
		{"link first", 50 * mbit, 20 * time.Millisecond, 100 * time.Millisecond, 1, 10 * time.Second, 0},
		{"link last", 50 * mbit, 20 * time.Millisecond, 100 * time.Millisecond, 1, 0, 10 * time.Second},
		{"slow", 10 * mbit, 30 * time.Millisecond, 100 * time.Millisecond, 1, 0, 0},
		{"long queue", 50 * mbit, 20 * time.Millisecond, 300 * time.Millisecond, 1, 0, 0},
		{"short queue", 50 * mbit, 20 * time.Millisecond, 40 * time.Millisecond, 1, 0, 0},
		{"two others", 50 * mbit, 20 * time.Millisecond, 100 * time.Millisecond, 2, 0, 0},
	} {
		b := newBottleneck(c.rate, c.delay)
		b.queue = c.queue
		var others []*cubicFlow
		for range c.others {
			others = append(others, newCubicFlow())
		}
		b.saturate(c.before)
		for end := b.now.Add(c.after); b.now < end; b.now += core.Time(b.step) {
			others[0].step(b)
		}
		b.beside(15*time.Second, others...)
		own, theirs := b.beside(30*time.Second, others...)
		fair := 1 / float64(1+c.others)
		b.saturate(10 * time.Second)
		share, queueing := b.share(5 * time.Second)
		t.Logf("%-12s own %.3f, theirs %.3f; alone again %.3f, mean queueing %v", c.name, own, theirs, share, queueing)
		if own < fair/2 || theirs < (1-fair)/2 || own+theirs < 0.9 {
			t.Errorf("%s: the link has %.3f, the others %.3f; fair were %.3f", c.name, own, theirs, fair)
		}
		if share < 0.95 || queueing > 25*time.Millisecond {
			t.Errorf("%s: alone again %.3f of the rate, queueing %v", c.name, share, queueing)
		}
	}
}
