package link

import (
	"math"
	"testing"
	"time"
)

// losses returns how many of n packets a loss model drops, and in how many runs.
func losses(l Loss, seed uint64, n int) (lost, runs int) {
	d := newDice(seed)
	before := false
	for range n {
		gone := d.lose(&l)
		if gone {
			lost++
			if !before {
				runs++
			}
		}
		before = gone
	}
	return lost, runs
}

func TestLossRate(t *testing.T) {
	const n = 200000
	for _, p := range []float64{0, 0.001, 0.01, 0.05, 0.5, 1} {
		lost, _ := losses(Loss{Good: p}, 42, n)
		// Five standard deviations of the binomial distribution.
		if limit := 5 * math.Sqrt(n*p*(1-p)); math.Abs(float64(lost)-n*p) > limit {
			t.Errorf("loss %g: %d of %d lost, want %g ± %g", p, lost, n, n*p, limit)
		}
	}
}

func TestGilbertElliott(t *testing.T) {
	const n = 400000
	l := Loss{P: 0.01, R: 0.25, Good: 0, Bad: 1}
	lost, runs := losses(l, 42, n)
	share, burst := float64(lost)/n, float64(lost)/float64(runs)
	if want := l.P / (l.P + l.R); math.Abs(share-want) > 0.003 {
		t.Errorf("share lost %g, want %g", share, want)
	}
	if want := 1 / l.R; math.Abs(burst-want) > 0.2 {
		t.Errorf("mean burst %g packets, want %g", burst, want)
	}
}

func TestJitterDistributions(t *testing.T) {
	const n = 100000
	for _, c := range []struct {
		shape     Distribution
		deviation float64 // standard deviation in units of the jitter
		most      float64 // largest deviation
	}{{Uniform, 1 / math.Sqrt(3), 1}, {Normal, 1, 6}} {
		// 1 s between packets: none holds up the next.
		m := New(Config{Delay: 100 * time.Millisecond, Jitter: 10 * time.Millisecond, Distribution: c.shape}, 9)
		var sum, squares, most float64
		for i := range n {
			now := int64(i) * 1000 * ms
			m.Enqueue(now, Packet{Size: 100})
			at, _ := m.Next()
			m.Pop(at)
			x := float64(at-now-100*ms) / float64(10*ms)
			sum += x
			squares += x * x
			most = max(most, math.Abs(x))
		}
		mean, deviation := sum/n, math.Sqrt(squares/n)
		if math.Abs(mean) > 0.02 || math.Abs(deviation/c.deviation-1) > 0.02 || most > c.most {
			t.Errorf("distribution %d: mean %g, deviation %g (want %g), most %g", c.shape, mean, deviation, c.deviation, most)
		}
	}
}

func TestJitterKeepsOrder(t *testing.T) {
	m := New(Config{Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond}, 1)
	out := send(t, m, 2000, 100, ms)
	for i, p := range out {
		if p.Tag != i {
			t.Fatalf("packet %v left as number %d", p.Tag, i)
		}
		if p.At < int64(i)*ms {
			t.Fatalf("packet %d left before it came", i)
		}
	}
}

func TestCorruptionRate(t *testing.T) {
	const n = 20000
	m := New(Config{Corrupt: 0.1}, 5)
	for range n {
		m.Enqueue(0, Packet{Data: make([]byte, 100), Size: 100})
		p, _ := m.Pop(0)
		if bits := differingBits(p.Data, make([]byte, 100)); bits > 1 {
			t.Fatalf("%d bits flipped", bits)
		}
	}
	if got := m.Stats().Corrupted; got < n/10-300 || got > n/10+300 {
		t.Errorf("%d of %d corrupted, want about a tenth", got, n)
	}
}
