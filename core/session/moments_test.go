package session

import (
	"flag"
	"time"
)

// moments is how often each case of a path that shrinks, or on which UDP is
// blocked, is tried: once where the suite runs with the race detector, 100 times
// in `make unit`'s second pass.
var moments = flag.Int("moments", 1, "moments at which a path shrinks or UDP is blocked")

// atMoments calls f with the parts of a second after which that happens, spread
// over round trips and timers by the golden ratio.
func atMoments(f func(after time.Duration)) {
	for i := range *moments {
		f(time.Duration(float64(i)*0.618034e9) % time.Second)
	}
}
