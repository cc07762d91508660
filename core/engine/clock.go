package engine

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// clock is the monotonic clock of this process.
type clock struct{ origin time.Time }

// newClock makes a clock that starts a second after zero, since the zero
// core.Time means "not set".
func newClock() clock { return clock{origin: time.Now().Add(-time.Second)} }

// Now returns the moment.
func (c clock) Now() core.Time { return core.Time(time.Since(c.origin)) }
