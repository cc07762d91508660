package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// health is what is believed of a link's sending direction.
type health uint8

const (
	probing health = iota // no round trip yet
	up
	suspect // silent with data in flight for longer than it should be
	down    // silent for so long that nothing is sent but probes
)

func (h health) String() string {
	return [...]string{"probing", "up", "suspect", "down"}[h]
}

// Detection of silence, from the smoothed round trip and its variance.
const (
	suspectSlack = 25 * time.Millisecond
	downFloor    = 60 * time.Millisecond
	downCeiling  = 200 * time.Millisecond
)

// Probe intervals: while a link begins or is down, while the session carries
// data, and while it is idle or the link has nothing to carry.
const (
	probeBegin  = 20 * time.Millisecond
	probeCount  = 25 // at probeBegin, then at probeActive
	probeDown   = 100 * time.Millisecond
	probeActive = 200 * time.Millisecond
	probeIdle   = 2 * time.Second
	probeFade   = 10 * time.Second // a link down for longer is probed as if idle
)

// lonelyPatience is how much longer the last link that works may be silent: it
// could be the reports that are lost. After that packets wait, instead of being
// lost one by one.
const lonelyPatience = time.Second

// limits returns after how much silence a link is suspect and down.
func (l *linkState) limits() (suspectAfter, downAfter time.Duration) {
	e := l.tx.Estimate()
	suspectAfter = e.SRTT + 2*e.RTTVar + suspectSlack
	downAfter = min(max(2*e.SRTT+4*e.RTTVar, downFloor), max(downCeiling, suspectAfter+suspectSlack))
	return suspectAfter, max(downAfter, suspectAfter)
}

// judge decides whether a link is up, suspect or down.
func (s *Session) judge(l *linkState, out *Output) {
	if l.health == probing || l.health == down {
		return
	}
	silence := l.tx.Silence(s.now) - s.lag.at(s.now)
	suspectAfter, downAfter := l.limits()
	switch {
	case silence >= s.downAfter(l, downAfter):
		s.remember(l)
		l.health, l.doubted = down, s.now
		l.standing.fall(s.now, l.losesAtRandom())
		s.lost = l.tx.Close(s.now, s.lost[:0])
		s.repair(l, out)
	case silence >= suspectAfter:
		if l.health == up {
			l.health, l.doubted = suspect, s.now
			s.probe(l, out) // whose answer clears it
		}
	default:
		l.health = up
	}
}

// others tells whether another link could carry the data of l: one that was
// heard of after l should have been. When all fall silent at once it is the
// reports that are lost, and nothing is known of any link.
func (s *Session) others(l *linkState) bool {
	suspectAfter, _ := l.limits()
	since := s.now.Add(suspectAfter - l.tx.Silence(s.now))
	for _, o := range s.order {
		if o != l && o.usable() && o.tx.LastAck() > since {
			return true
		}
	}
	return false
}

// Overdue tells for how long a link has owed an answer that should have come;
// 0 when it owes none.
func (s *Session) Overdue(now core.Time, id core.LinkID) time.Duration {
	if id >= core.MaxLinks || s.links[id] == nil {
		return 0
	}
	l := s.links[id]
	suspectAfter, _ := l.limits()
	return max(0, l.tx.Silence(now)-suspectAfter)
}

// judgeDue is when silence would change the judgement of a link.
func (s *Session) judgeDue(l *linkState) core.Time {
	silence := l.tx.Silence(s.now)
	if l.health != up && l.health != suspect || silence == 0 {
		return core.Never
	}
	suspectAfter, downAfter := l.limits()
	silent := s.now.Add(s.lag.at(s.now) - silence)
	if l.health == up {
		return max(silent.Add(suspectAfter), s.now+1)
	}
	return max(silent.Add(s.downAfter(l, downAfter)), s.now+1)
}

// downAfter is after how much silence a link is down, given its limit.
func (s *Session) downAfter(l *linkState, limit time.Duration) time.Duration {
	if s.others(l) {
		return limit
	}
	return limit + lonelyPatience
}

// probeDue is when a link is to be probed next.
func (s *Session) probeDue(l *linkState) core.Time {
	if !l.paths.known {
		return core.Never
	}
	return l.tx.LastAsked().Add(s.probeInterval(l))
}

func (s *Session) probeInterval(l *linkState) time.Duration {
	switch {
	case l.health == probing && l.tx.NextNumber() < probeCount:
		return probeBegin
	case l.health == down && s.now.Sub(l.standing.fell) < probeFade:
		return probeDown
	case s.idle() || l.policy.Role == Off || s.reserved(l):
		return probeIdle
	}
	return probeActive
}

// probe asks the peer for an acknowledgement.
func (s *Session) probe(l *linkState, out *Output) {
	if !l.paths.allows(probeLength + l.overhead()) {
		s.counters.DropPath++
		// The time of the probe counts all the same, or it would be due at once.
		l.tx.Skip(s.now)
		return
	}
	s.counters.ProbesSent++
	s.sendBody(l, l.paths.current, wire.AppendPing(s.beginBody()), true, out)
}

// probeLength is the outer payload of a probe.
const probeLength = wire.HeaderLen + 2 + wire.TagLen
