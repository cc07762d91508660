package bench

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

// newBare makes a cable without a tunnel.
func newBare(t *testing.T) *tunnel {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	bare := &tunnel{name: bareName, world: w, client: cableAddress(0), server: serverHost}
	if err := bare.waitUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	return bare
}

// TestLoadsOverTheBareCable runs every load without a tunnel.
func TestLoadsOverTheBareCable(t *testing.T) {
	bare := newBare(t)
	for _, e := range exercises() {
		found, err := e.run(context.Background(), bare, 100*time.Millisecond)
		if err != nil {
			t.Fatalf("%s: %v", e.name, err)
		}
		for key, value := range found {
			if value <= 0 {
				t.Errorf("%s: %s is %v", e.name, key, value)
			}
		}
	}
}

// TestLoadsEndWithTheirContext interrupts loads of an hour while they are
// measured.
func TestLoadsEndWithTheirContext(t *testing.T) {
	bare := newBare(t)
	for _, e := range exercises() {
		if !slices.Contains([]string{"ping", "tcp1-down", "tcp4-up", "udp-64"}, e.name) {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), settle+50*time.Millisecond)
		if _, err := e.run(ctx, bare, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: error %v, want the context's", e.name, err)
		}
		cancel()
	}
}
