package link

import (
	"math"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// Estimate is what the sending half believes of its link.
type Estimate struct {
	Known            bool // there was a round-trip sample
	SRTT, RTTVar     time.Duration
	MinRTT           time.Duration
	Base             time.Duration // one-way delay of the empty link, plus an unknown constant
	Delay            time.Duration // one-way delay a datagram sent now would see, same constant
	Recent           time.Duration // one-way delay that the last datagrams saw, same constant
	Jitter           time.Duration
	Rate             float64 // delivery rate, bytes/s
	Loss             float64 // share of recent datagrams lost
	Random           float64 // of it, what was lost without a standing queue: no congestion
	InFlight, Window int     // bytes
	Starting         bool
}

// Potential is what the link could carry, in bytes/s: its delivery rate, or a
// window each round trip where that is more, as when the sender has too little
// to send.
func (e *Estimate) Potential() float64 {
	if e.SRTT <= 0 {
		return e.Rate
	}
	return max(e.Rate, float64(e.Window)/e.SRTT.Seconds())
}

// Estimate returns what is believed now. The delay is predicted from what is
// in flight at this moment: a smoothed delay goes stale on an idle link and
// makes two equal links take turns.
func (s *Sender) Estimate() Estimate {
	if !s.estimated {
		s.estimate, s.estimated = s.believed(), true
	}
	return s.estimate
}

// believed works out the estimate. What it reads is changed by those alone that
// clear s.estimated.
func (s *Sender) believed() Estimate {
	e := Estimate{
		Known: s.rtt.known(), SRTT: s.rtt.smoothed, RTTVar: s.rtt.variance,
		Jitter: s.delay.jitter, Rate: s.window.rate, Loss: s.loss, Random: s.random,
		InFlight: s.inFlight, Window: s.window.size, Starting: s.window.starting,
	}
	if !e.Known {
		return s.capped(e)
	}
	e.MinRTT = s.rtt.floor.get()
	e.Base = s.emptyDelay(s.delay.idle)
	e.Recent = s.delay.recent()
	if e.Starting {
		// The rate is not known yet: what was seen last has to do.
		e.Delay = e.Base
		if s.window.reports > 0 {
			e.Delay = max(e.Base, s.window.recentLeast())
		}
		return s.capped(e)
	}
	if s.window.rival.active {
		// The queue is not of this link's making alone.
		e.Delay = max(e.Base, e.Recent)
		return s.capped(e)
	}
	queued := time.Duration(float64(s.inFlight)/max(s.window.rate, leastRate)*1e9) - e.MinRTT - s.delay.idle
	e.Delay = e.Base + max(0, queued)
	return s.capped(e)
}

// UnbiasedLoss is the Loss of the estimate with what a young link's lacks made
// up for: the average begins at nothing and is too low until it has seen a
// thousand datagrams. Of a few it says little.
func (s *Sender) UnbiasedLoss() float64 {
	seen := float64(s.stats.Acked + s.stats.Lost)
	if seen == 0 {
		return 0
	}
	return s.loss / (1 - math.Pow(1-lossGain, seen))
}

// Stats returns the counts of the sending half.
func (s *Sender) Stats() SenderStats {
	st := s.stats
	st.MTUProbes, st.BlackHoles = s.mtu.probes, s.mtu.holes
	return st
}

// LastAsked is when the last datagram left that asks for an acknowledgement; 0:
// none did.
func (s *Sender) LastAsked() core.Time { return s.lastAsked }

// Skip notes that such a datagram would have left at now but may not.
func (s *Sender) Skip(now core.Time) { s.lastAsked = now }

// InFlight tells whether acknowledgements are awaited.
func (s *Sender) InFlight() bool { return s.inFlight > 0 }

// Silence is how long the peer has owed an acknowledgement: since the last one,
// or since the first datagram after it. 0 when it owes none. That datagrams are
// given up as lost does not end it.
func (s *Sender) Silence(now core.Time) time.Duration {
	if s.owed == 0 {
		return 0
	}
	return now.Sub(s.owed)
}

// LastAck is when something new was last acknowledged; 0: never.
func (s *Sender) LastAck() core.Time { return s.lastAck }

// Outstanding tells whether the fate of a number is unknown.
func (s *Sender) Outstanding(number uint64) bool {
	return number >= s.base && number < s.next && s.records[int(number-s.base)+s.head].fate == outstanding
}

// Held is the packet that a number whose fate is unknown carries; nil when there
// is none. The reference stays with the sender.
func (s *Sender) Held(number uint64) *packet.Packet {
	if !s.Outstanding(number) {
		return nil
	}
	return s.records[int(number-s.base)+s.head].held
}

// Stats returns the counts of the receiving half.
func (r *Receiver) Stats() ReceiverStats { return r.stats }

// Loss is the average share of recent numbers that did not come.
func (r *Receiver) Loss() float64 { return r.loss }

// Pace is the time between two datagrams of late, on average.
func (r *Receiver) Pace() time.Duration { return r.pace }

// LastReceived is when the last datagram came; 0: none did.
func (r *Receiver) LastReceived() core.Time { return r.lastReceived }
