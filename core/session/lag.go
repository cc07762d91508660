package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Bounds of a lag: less is the usual wait for a processor, and a host that is
// always behind must give up what is lost all the same.
const (
	lagNoise = 5 * time.Millisecond
	lagMost  = 200 * time.Millisecond
)

// lag is how far a busy host is behind with reading what came. After a stall
// timers fire before the datagrams that came meanwhile have been read: what they
// bring must not be given up for that. So whatever waits for something to come
// waits longer by the length of the stall, which fades: the host has as long
// again to catch up.
type lag struct {
	until core.Time
}

// note takes down that this host was behind by d at now.
func (g *lag) note(now core.Time, d time.Duration) {
	if d >= lagNoise {
		g.until = max(g.until, now.Add(min(d, lagMost)))
	}
}

// at is how much longer than usual is to be waited at now.
func (g *lag) at(now core.Time) time.Duration { return max(0, g.until.Sub(now)) }
