package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// A network may let TCP through and drop UDP. The client finds out: nothing comes
// on a link although it asks. It then sends a challenge over the link's control
// connection, which is another path to the session, and when that is answered
// where it was sent, the link's datagrams take that path. From there it tries UDP
// now and then. The server follows, as it follows any path of its client.

// Timing of the way out and back.
const (
	blockedAsked = 3 * time.Second         // silent while an answer is owed, at least
	blockedMost  = 12 * time.Second        // the same at most, however long a round trip takes
	blockedIdle  = 6500 * time.Millisecond // silent although the peer probes every two seconds
	streamEvery  = time.Second             // between challenges over the control connection
	udpEvery     = 5 * time.Second         // between those over UDP, at first
	udpRarely    = 160 * time.Second       // and after UDP has failed again and again
	udpSteady    = time.Minute             // after so long it has not
)

// streamPath is the way over the control connection. TLS says who is there, so
// it needs no challenge.
var streamPath = core.Path{Stream: true}

// streamPenalty keeps reports and repairs on links with datagrams of their own.
const streamPenalty = time.Second

// fallback is the client's state of one link. The zero value has no way out.
type fallback struct {
	udp     core.Path
	able    bool          // there is a control connection that can carry datagrams
	since   core.Time     // of the present path
	asked   core.Time     // when the other way was last tried
	wait    time.Duration // until UDP is tried again
	blocked core.Time     // when UDP was last given up; 0: never
	trip    time.Duration // a round trip of the control connection, which UDP's is not known before
}

// streaming tells whether the link's datagrams take its control connection.
func (l *linkState) streaming() bool { return l.paths.current.Stream }

// patience is how long an answer that is owed may take: a path of seconds is not
// a blocked one.
func (l *linkState) patience() time.Duration {
	trip := l.fallback.trip
	if e := l.tx.Estimate(); e.Known {
		trip = e.SRTT
	}
	return min(max(blockedAsked, 2*trip), blockedMost)
}

// blockedAt is when the silence on UDP is too long. A link that receives and is
// not answered is of use beside others that report what it received; where there
// are none, only answers count.
func (s *Session) blockedAt(l *linkState) core.Time {
	limit := blockedIdle
	if l.health != up || l.tx.Silence(s.now) > 0 {
		limit = l.patience()
	}
	heard := l.rx.LastReceived()
	if l.health == down && !s.datagrams() {
		heard = min(heard, l.tx.LastAck())
	}
	return max(heard, l.fallback.since).Add(limit)
}

// fallbackDue is when the client is to try the other way.
func (s *Session) fallbackDue(l *linkState) core.Time {
	f := &l.fallback
	switch {
	case !f.able || l.policy.Role == Off:
		return core.Never
	case l.streaming():
		return max(f.since, f.asked).Add(f.wait)
	}
	return max(s.blockedAt(l), f.asked.Add(streamEvery))
}

// tryOther sends a challenge over the way that the link does not take.
func (s *Session) tryOther(l *linkState, out *Output) {
	path := streamPath
	if l.streaming() {
		path = l.fallback.udp
	}
	l.fallback.asked = s.now
	s.counters.PathChallenges++
	s.sendBody(l, path, wire.AppendPathChallenge(s.beginBody(), s.drawToken()), false, out)
}

// reached lets the client take the way on which the newest datagram came: to the
// control connection only when UDP is silent, since the server may not have
// heard yet that it works.
func (s *Session) reached(l *linkState, from core.Path, out *Output) {
	f := &l.fallback
	if !f.able || from.Stream == l.streaming() || from.Stream && s.now < s.blockedAt(l) {
		return
	}
	if !from.Stream {
		f.since, f.asked = s.now, s.now
		s.changeWay(l, f.udp, out)
		return
	}
	if f.wait = min(2*f.wait, udpRarely); f.blocked == 0 || s.now.Sub(f.since) > udpSteady {
		f.wait = udpEvery
	}
	f.since, f.asked, f.blocked = s.now, s.now, s.now
	s.changeWay(l, streamPath, out)
}

// changeWay moves a link between UDP and its control connection. What is on its
// way over UDP is lost; over the control connection it still arrives.
func (s *Session) changeWay(l *linkState, path core.Path, out *Output) {
	s.counters.PathChanges++
	toStream := path.Stream
	l.paths.fix(path)
	l.paths.candidate = candidate{}
	s.adoptPath(l)
	if toStream {
		l.health = probing
		s.lost = l.tx.Close(s.now, s.lost[:0])
		s.repair(l, out)
	}
	s.probe(l, out)
}

// eligible tells whether packets may leave on a link: a stream delivers what follows
// a loss late, so it is worth having only where there is nothing else.
func (s *Session) eligible(l *linkState) bool {
	return l.usable() && (!l.streaming() || !s.datagrams())
}

// datagrams tells whether a link works that carries datagrams of its own.
func (s *Session) datagrams() bool {
	for _, l := range s.order {
		if l.usable() && l.health == up && !l.streaming() {
			return true
		}
	}
	return false
}
