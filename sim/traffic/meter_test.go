package traffic

import (
	"bytes"
	"math"
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	m := &meter{warm: time.Second}
	m.wait(100 * time.Millisecond)
	for _, at := range []time.Duration{200, 900, 1000, 1100, 1900} {
		m.deliver(at*time.Millisecond, 1000)
	}
	m.idle(2 * time.Second)
	sums := sum([]*meter{m, {bins: []int64{500}, bytes: 500, last: 50 * time.Millisecond}})
	if sums.bytes != 5500 || sums.warmBytes != 3000 {
		t.Errorf("bytes %d, after warm-up %d; want 5500 and 3000", sums.bytes, sums.warmBytes)
	}
	if sums.stall != 800*time.Millisecond {
		t.Errorf("stall %v, want 800ms", sums.stall)
	}
	if sums.last != 1900*time.Millisecond {
		t.Errorf("last delivery at %v", sums.last)
	}
	for _, c := range []struct {
		name      string
		warm, end time.Duration
		want      float64
	}{
		{"after the warm-up", time.Second, 2 * time.Second, 24000},
		{"shorter than the warm-up", 3 * time.Second, 2 * time.Second, 22000},
		{"of no time", 0, 0, 0},
	} {
		if got := sums.goodput(0, c.warm, c.end); got != c.want {
			t.Errorf("goodput %s: %g, want %g", c.name, got, c.want)
		}
	}
	s := sums.series(0, 2*time.Second)
	if len(s.T) != 20 || len(s.V) != 20 || s.V[0] != 40000 || s.V[2] != 80000 || s.V[3] != 0 || s.T[2] != 0.2 {
		t.Errorf("series %v", s)
	}
}

func TestMeterWaitsFromTheStart(t *testing.T) {
	m := &meter{}
	m.wait(2 * time.Second)
	m.idle(5 * time.Second)
	if m.stall != 3*time.Second {
		t.Errorf("stall %v of an application that never got a byte for 3 s", m.stall)
	}
}

func TestSpread(t *testing.T) {
	s := newSpread()
	if len(s.full()) != 0 {
		t.Error("nothing measured has values")
	}
	for i := 1; i <= 100; i++ {
		s.add(time.Duration(i) * time.Millisecond)
	}
	got := s.full()
	for name, want := range map[string]float64{
		"min": 0.001, "max": 0.1, "avg": 0.0505, "p50": 0.05, "p95": 0.095, "p99": 0.099, "mdev": 0.028866,
	} {
		if v := got[name].(float64); math.Abs(v-want) > want/500 {
			t.Errorf("%s = %g, want %g", name, v, want)
		}
	}
}

func TestSpreadBeyondItsRange(t *testing.T) {
	s := newSpread()
	s.add(-time.Millisecond)
	s.add(time.Hour)
	if got := s.full(); got["min"] != -0.001 || got["max"] != 3600.0 {
		t.Errorf("extremes are not exact: %v", got)
	}
}

func TestContent(t *testing.T) {
	sent := make([]byte, 10000)
	_, _ = newContent(7, "down").Read(sent)
	c := newContent(7, "down")
	for _, part := range [][]byte{sent[:1], sent[1:4000], sent[4000:]} {
		if err := c.check(part); err != nil {
			t.Fatal(err)
		}
	}
	changed := bytes.Clone(sent)
	changed[1234] ^= 1
	c = newContent(7, "down")
	if err := c.check(changed[:1000]); err != nil {
		t.Fatal(err)
	}
	err := c.check(changed[1000:])
	if err == nil || err.Error() != "content differs from what was sent at byte 1234" {
		t.Errorf("a changed byte gives %v", err)
	}
	if newContent(7, "up").check(sent[:64]) == nil || newContent(8, "down").check(sent[:64]) == nil {
		t.Error("another direction or seed has the same content")
	}
}
