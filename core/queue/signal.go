package queue

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// signalFloor is the least standing queue that counts as congestion, and
// signalShare the share of a round trip that it may hold: what keeps CUBIC at
// full rate after its cut to 0.7 (RFC 9438) is 0.43, with room for its pace.
const (
	signalFloor = 20 * time.Millisecond
	signalShare = 0.55
	// burstTime bounds how long a backlog may pass for a burst: a sender in slow
	// start doubles it each round trip, and must hear of it before.
	burstTime = 50 * time.Millisecond
)

// signal decides which packets are dropped so that the inner sender slows
// down: one per control period while the backlog stays above a threshold for a
// moment (the idea of CoDel, RFC 8289), all far above it.
type signal struct {
	last  core.Time
	above core.Time // since when the backlog has been above the threshold; 0: it is not
}

func (s *signal) due(now core.Time, backlog float64, c Conditions) bool {
	delay := seconds(backlog / c.Rate)
	even := max(signalFloor, time.Duration(signalShare*float64(c.RTT)))
	ahead := seconds(c.Ahead / c.Rate)
	threshold := max(even, seconds(c.least/c.Rate)) + ahead
	switch {
	case delay <= threshold:
		s.above = 0
		return false
	case s.above == 0:
		s.above = now
	}
	// A burst that is soon gone is no standing queue.
	standing := now.Sub(s.above) > min(c.RTT, burstTime) && now.Sub(s.last) > c.RTT+delay
	// A flow that had more until a higher class came gets its signals one by one:
	// to lose all that is on its way would stop it for seconds.
	most := max(2*threshold, time.Duration(max(1, c.cut)*float64(2*(even+ahead))))
	if standing || delay > most+signalFloor {
		s.last = now
		return true
	}
	return false
}

func seconds(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }
