package nstest

import (
	"testing"
	"time"
)

// Patience bounds every wait for something that must happen.
const Patience = time.Minute

// Receive takes what a channel gives, or its end. It fails the test when
// neither comes within Patience; what says what was waited for.
func Receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	var got T
	select {
	case got = <-from:
	case <-time.After(Patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return got
}
