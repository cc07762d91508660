package lab

import (
	"os"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = time.Minute

// receive takes what a channel gives, or its end.
func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	var got T
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return got
}

// TestMain lets the test program stand in for the product: started with
// fakeVariable set, it behaves as the product does from outside.
func TestMain(m *testing.M) {
	if how := os.Getenv(fakeVariable); how != "" && len(os.Args) > 1 {
		os.Exit(fakeProduct(how, os.Args[1:]))
	}
	os.Exit(m.Run())
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
}
