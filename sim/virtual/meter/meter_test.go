package meter

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMeter(t *testing.T) {
	a, b := &Meter{Warm: 2 * time.Second}, &Meter{Warm: 2 * time.Second}
	a.Wait(time.Second)
	a.Deliver(1500*time.Millisecond, 1000)
	a.Deliver(2500*time.Millisecond, 3000)
	b.Wait(time.Second)
	b.Deliver(2*time.Second, 500)
	b.Idle(3 * time.Second)
	s := Sum(a, b)
	if s.Bytes != 4500 || s.Stall != time.Second || s.Last != 2500*time.Millisecond {
		t.Errorf("%+v", s)
	}
	if g := s.Goodput(time.Second, 2*time.Second, 3*time.Second); g != 3500*8 {
		t.Errorf("goodput %v", g)
	}
	if g := s.Goodput(time.Second, 5*time.Second, 3*time.Second); g != 4500*8/2 {
		t.Errorf("goodput without a warm-up %v", g)
	}
	if g := s.Goodput(time.Second, time.Second, time.Second); g != 0 {
		t.Errorf("goodput of no time %v", g)
	}
	series := s.Series(time.Second, 3*time.Second)
	if len(series.T) != 20 || series.T[0] != 1 || series.V[5] != 1000*80 || series.V[10] != 500*80 || series.V[19] != 0 {
		t.Errorf("%v", series)
	}
}

func TestSpread(t *testing.T) {
	s := NewSpread()
	if len(s.Full()) != 0 || len(s.Percentiles()) != 0 {
		t.Error("nothing has percentiles")
	}
	for i := 1; i <= 100; i++ {
		s.Add(time.Duration(i) * time.Millisecond)
	}
	for name, want := range map[string]float64{
		"min": 0.001, "max": 0.1, "avg": 0.0505, "p50": 0.05, "p95": 0.095, "p99": 0.099, "mdev": 0.02887,
	} {
		if got := s.Full()[name].(float64); math.Abs(got-want) > want/500 {
			t.Errorf("%s is %v, not %v", name, got, want)
		}
	}
	if s.Count() != 100 {
		t.Errorf("%d durations", s.Count())
	}
}

func TestOrder(t *testing.T) {
	var o Order
	for i, step := range []struct {
		n   uint64
		new bool
	}{{0, true}, {2, true}, {1, true}, {1, false}, {3, true}, {70, true}, {69, true}, {2, false}} {
		if o.Arrive(step.n) != step.new {
			t.Errorf("step %d", i)
		}
	}
	if o.Received != 6 || o.Reordered != 2 {
		t.Errorf("%d received, %d reordered", o.Received, o.Reordered)
	}
}

func TestTCPOrder(t *testing.T) {
	segment := func(sequence uint32, stamp uint32) Segment {
		return Segment{Sequence: sequence, Payload: 100, Stamped: true, Stamp: stamp}
	}
	for name, test := range map[string]struct {
		segments            []Segment
		received, reordered int
	}{
		"in order":                  {[]Segment{segment(0, 1), segment(100, 1)}, 2, 0},
		"overtaken":                 {[]Segment{segment(0, 1), segment(200, 1), segment(100, 1)}, 3, 1},
		"sent again later":          {[]Segment{segment(0, 1), segment(200, 1), segment(100, 9)}, 3, 0},
		"twice":                     {[]Segment{segment(0, 1), segment(0, 1)}, 1, 0},
		"around zero":               {[]Segment{segment(math.MaxUint32-99, 1), segment(100, 1), segment(0, 1)}, 3, 1},
		"after a SYN":               {[]Segment{{Sequence: 99, SYN: true}, segment(200, 1), segment(100, 1)}, 2, 1},
		"acknowledgements":          {[]Segment{segment(0, 1), {Sequence: 100}, segment(100, 1)}, 2, 0},
		"no timestamps":             {[]Segment{segment(0, 1), segment(200, 1), {Sequence: 100, Payload: 100}}, 3, 1},
		"two of three gaps' pieces": {[]Segment{segment(0, 1), segment(400, 1), segment(200, 1), segment(100, 1)}, 4, 2},
	} {
		var o TCPOrder
		for _, s := range test.segments {
			o.Arrive(s)
		}
		if o.Received != test.received || o.Reordered != test.reordered {
			t.Errorf("%s: %d received, %d reordered", name, o.Received, o.Reordered)
		}
	}
}

func TestTCPOrderCountsEachPacketOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(t, "segments")
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		order = rapid.Permutation(order).Draw(t, "order")
		base := rapid.Uint32().Draw(t, "first")
		o := TCPOrder{started: true, next: base}
		late, highest := 0, -1
		for _, i := range order {
			o.Arrive(Segment{Sequence: base + uint32(i)*10, Payload: 10, Stamped: true, Stamp: 1})
			if i < highest {
				late++
			}
			highest = max(highest, i)
		}
		if o.Received != n || o.Reordered != late {
			t.Fatalf("%d received and %d reordered of %v", o.Received, o.Reordered, order)
		}
	})
}
