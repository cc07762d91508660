package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// A link that falls again soon after it has come back costs more than it
// carries: what is on its way is sent twice, and inner senders slow down. So it
// stays unused after a fall for a time that doubles with each (the idea of route
// flap damping, RFC 2439), and that one fall after steady use does away with.
const (
	returnProbes = 3 // answered in a row before a link that was down is used
	steadyUse    = time.Second
	firstWait    = 500 * time.Millisecond
	longestWait  = 8 * time.Second
	// chanceFlight is how much in flight a link that loses at random, more than
	// chanceLoss, may lose all of, in bytes: such a fall costs little and says little.
	chanceFlight = 4 * core.FullPacket
	chanceLoss   = 0.005
)

// standing is what the falls of a link tell about its next return.
type standing struct {
	fell core.Time     // when it went down, or was taken away
	back core.Time     // when it was used again after that
	wait time.Duration // from a fall to the next return, at least
	row  int           // probes answered in a row since it fell
}

// losesAtRandom tells whether the silence of a link may be loss and no outage.
func (l *linkState) losesAtRandom() bool {
	return l.tx.UnbiasedLoss() > chanceLoss && l.tx.Estimate().InFlight < chanceFlight
}

// fall notes that a link which was in use is not any more. chance says that it
// may be loss and no outage.
func (r *standing) fall(now core.Time, chance bool) {
	switch {
	case r.back == 0 || now.Sub(r.back) >= steadyUse:
		r.wait = 0
	case !chance:
		r.wait = min(max(2*r.wait, firstWait), longestWait)
	}
	r.fell, r.row = now, 0
}

// mayReturn tells whether enough is known to use the link again. One that begins
// anew needs one answer, unless it is made to wait.
func (r *standing) mayReturn(now core.Time, begins bool) bool {
	if begins && (r.wait == 0 || r.back > r.fell) {
		return true
	}
	return r.row >= returnProbes && now.Sub(r.fell) >= r.wait
}

// returned notes that the link is used, again if it fell.
func (r *standing) returned(now core.Time) {
	if r.fell > 0 {
		r.back = now
	}
}

// answeredProbe takes note of a report that brings something new about a link:
// one that begins or was down is up after enough of them. lost says that the
// report told of a loss, too.
func (s *Session) answeredProbe(l *linkState, lost bool, out *Output) {
	if l.health != probing && l.health != down {
		return
	}
	r := &l.standing
	if lost {
		r.row = 0
	}
	r.row++
	switch {
	case r.mayReturn(s.now, l.health == probing) || !s.otherUp(l):
		if l.health == down {
			l.tx.Reopen(s.recall(l))
		}
		l.health = up
		r.returned(s.now)
	case r.wait == 0 && r.row < returnProbes:
		s.probe(l, out) // at once: what fails for the first time is missed
	}
}

// otherUp tells whether a link other than l carries data and is not silent.
func (s *Session) otherUp(l *linkState) bool {
	for _, o := range s.order {
		if o != l && o.usable() && o.health == up {
			return true
		}
	}
	return false
}
