package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/multilink-vpn/multilink/sim/link"
)

// TestShipped: the trace in scenarios/traces is the one that this makes.
func TestShipped(t *testing.T) {
	var made bytes.Buffer
	if err := cellular.write(&made); err != nil {
		t.Fatal(err)
	}
	shipped, err := os.ReadFile("../../scenarios/traces/cellular.trace")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.Bytes(), shipped) {
		t.Error("differs: go run ./sim/celltrace > scenarios/traces/cellular.trace")
	}
	trace, err := link.ParseTrace(&made)
	if err != nil {
		t.Fatal(err)
	}
	if rate := trace.Rate(); rate < 5e6 || rate > 25e6 {
		t.Errorf("a mean of %g bit/s", rate)
	}
}

func TestSeeds(t *testing.T) {
	text := func(seed uint64) string {
		var b bytes.Buffer
		m := cellular
		m.seed, m.seconds = seed, 2
		if err := m.write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := text(1)
	if text(1) != first {
		t.Error("the same seed gives another trace")
	}
	if text(2) == first {
		t.Error("another seed gives the same trace")
	}
}
