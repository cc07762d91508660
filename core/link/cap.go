package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Of a cap: how much unused time is credit for, and the least window, in
// round trips, that it leaves room for.
const (
	capBurst  = 20 * time.Millisecond
	capRounds = 1.25
)

// limiter keeps what leaves on a link, of every kind, below a rate that the
// user has set, on the average over capBurst and longer.
type limiter struct {
	pacer
	rate float64 // bytes/s; 0: none
}

func (l *limiter) sent(now core.Time, size int) {
	if l.rate > 0 {
		l.pacer.sent(now, size, l.rate, capBurst)
	}
}

// SetCap limits what leaves on the link to rate in bytes/s, outer headers
// included; 0 is no limit. Repairs and reports do not wait for it, but what they
// take the others have less.
func (s *Sender) SetCap(rate float64) { s.limit.rate, s.estimated = rate, false }

// capped brings an estimate down to what the cap lets through.
func (s *Sender) capped(e Estimate) Estimate {
	if r := s.limit.rate; r > 0 {
		e.Rate = min(e.Rate, r)
		if e.Known {
			e.Window = min(e.Window, max(2*segment, int(capRounds*r*e.SRTT.Seconds())))
		}
	}
	return e
}
