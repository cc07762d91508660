package virtual

import (
	"slices"
	"testing"
)

// TestPingSeries: each answer is in the series, with the time it took.
func TestPingSeries(t *testing.T) {
	r := runText(t, `
name: ping
duration: 2s
links: [{name: a, both: {rate: 10mbit, delay: 10ms}}]
traffic: [{name: echo, kind: ping, interval: 100ms}]
`)
	s := r.Series["echo.rtt"]
	if len(s.T) != 20 || len(s.V) != 20 || !slices.IsSorted(s.T) {
		t.Fatalf("got %d times and %d values of 20: %v", len(s.T), len(s.V), s.T)
	}
	echo := r.Measurements["echo"].(map[string]any)["rtt"].(map[string]any)
	if slices.Min(s.V) != echo["min"] || slices.Max(s.V) != echo["max"] {
		t.Errorf("%g to %g, measured %v to %v", slices.Min(s.V), slices.Max(s.V), echo["min"], echo["max"])
	}
}
