package lab

import (
	"os"
	"testing"
)

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
