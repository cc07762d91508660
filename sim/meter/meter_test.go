package meter

import (
	"math"
	"testing"
	"time"
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

func TestMeterWaitsFromTheStart(t *testing.T) {
	m := &Meter{}
	m.Wait(2 * time.Second)
	m.Idle(5 * time.Second)
	if got := Sum(m).Stall; got != 3*time.Second {
		t.Errorf("stall %v of an application that never got a byte for 3 s", got)
	}
}

func TestSpreadBeyondItsRange(t *testing.T) {
	s := NewSpread()
	s.Add(-time.Millisecond)
	s.Add(time.Hour)
	if got := s.Full(); got["min"] != -0.001 || got["max"] != 3600.0 {
		t.Errorf("extremes are not exact: %v", got)
	}
}
