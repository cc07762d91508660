package queue

import "github.com/multilink-vpn/multilink/core"

// A bucket is sparse while what it got lately is little: pings, names, keys
// typed, the first packets of a connection. The stream of acknowledgements of
// a download is not.
const (
	sparseRate  = 16_000      // bytes/s, the rate of one call
	sparseBurst = 4 * quantum // above that rate
)

// load is what a bucket got lately: a leaky bucket of sparseRate.
type load struct {
	bytes float64 // at most a little over sparseBurst
	at    core.Time
}

func (l *load) add(now core.Time, n int) {
	left := max(0, l.bytes-sparseRate*now.Sub(l.at).Seconds())
	l.bytes, l.at = min(left, sparseBurst)+float64(n), now
}

func (l *load) sparse() bool { return l.bytes <= sparseBurst }
