package bench

import (
	"context"
	"os"
	"testing"
	"time"
)

// TestLoadsOverTheBareCable runs every load without a tunnel.
func TestLoadsOverTheBareCable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	bare := &tunnel{name: bareName, world: w, client: cableAddress(0), server: serverHost}
	if err := bare.waitUp(context.Background()); err != nil {
		t.Fatal(err)
	}
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
