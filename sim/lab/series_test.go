package lab

import (
	"slices"
	"testing"
	"time"
)

func TestLinkSeries(t *testing.T) {
	s := newLinkSeries()
	for _, c := range []struct {
		at   time.Duration
		down uint64
	}{
		{250 * time.Millisecond, 1000},
		{500 * time.Millisecond, 3000},
		{500 * time.Millisecond, 9000},  // no time has passed: taken with the next
		{1000 * time.Millisecond, 9000}, // a slow machine
		{1250 * time.Millisecond, 500},  // unplugged and plugged in again
	} {
		s.sample(c.at, []LinkProgress{{Name: "a", Down: c.down}})
	}
	got := s.into["link.a.down.rate"]
	if want := []float64{0, 0.25, 0.5, 1}; !slices.Equal(got.T, want) {
		t.Errorf("times %v, want %v", got.T, want)
	}
	if want := []float64{32000, 64000, 96000, 16000}; !slices.Equal(got.V, want) {
		t.Errorf("rates %v, want %v", got.V, want)
	}
	if up := s.into["link.a.up.rate"]; slices.Max(up.V) != 0 {
		t.Errorf("up: %v", up.V)
	}
}
