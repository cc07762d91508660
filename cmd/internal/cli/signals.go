package cli

import (
	"os"
	"time"
)

// echo is how soon after the first signal another one is still the same: timeout(1)
// and some supervisors send it to the process and once more to its group. A
// person who insists takes longer.
const echo = 300 * time.Millisecond

// Echo says whether a signal that comes now is the echo of the one that came at
// first.
func Echo(first time.Time) bool { return time.Since(first) < echo }

// Insisted waits for a signal that is no echo of the one that came just now. It
// returns false when the channel is closed before.
func Insisted(came <-chan os.Signal) bool {
	first := time.Now()
	for range came {
		if !Echo(first) {
			return true
		}
	}
	return false
}
