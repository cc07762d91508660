package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Path validation (RFC 9000, section 8): how much may be sent to an address
// that has not answered a challenge, and how often it is challenged.
const (
	amplification   = 3
	challengeEvery  = 250 * time.Millisecond // at first; from the fourth on twice as long each time
	challengeTries  = 8                      // within 8.5 s: over a round trip of seconds, too
	challengeLength = wire.HeaderLen + 1 + 9 + wire.TagLen
)

// paths are the addresses of one link: the current one and, while the peer
// seems to have moved, a candidate that is being challenged.
type paths struct {
	current   core.Path
	known     bool // current is set
	validated bool // current has answered a challenge, or needs not
	received  int  // bytes from current while not validated
	sent      int  // bytes to it while not validated

	candidate candidate
}

// candidate is an address under challenge; tries is 0 when there is none.
type candidate struct {
	path     core.Path
	token    [8]byte
	tries    int
	at       core.Time // of the last challenge
	received int
	sent     int
}

// fix sets a path that needs no proof.
func (p *paths) fix(path core.Path) {
	p.current, p.known, p.validated = path, true, true
}

// ready tells whether data may be sent to the current path.
func (p *paths) ready() bool { return p.known && p.validated }

// allows tells whether size bytes may be sent to the current path, and counts
// them.
func (p *paths) allows(size int) bool {
	switch {
	case !p.known:
		return false
	case p.validated:
		return true
	case p.sent+size > amplification*p.received:
		return false
	}
	p.sent += size
	return true
}

func (p *paths) nextTimeout() core.Time {
	if p.candidate.tries == 0 {
		return core.Never
	}
	return p.candidate.due()
}

// due is when the challenge is repeated or given up.
func (c *candidate) due() core.Time {
	return c.at.Add(challengeEvery << max(0, c.tries-4))
}

// arrived learns from where an authentic datagram came. newest says that no
// later one came before it: an old one that was on its way says nothing about
// where the peer is now.
func (s *Session) arrived(l *linkState, from core.Path, size int, newest bool, out *Output) {
	p := &l.paths
	if !s.cfg.LearnPaths {
		if newest {
			s.reached(l, from, out)
		}
		return
	}
	switch {
	case from.Stream && newest && !l.streaming():
		s.changeWay(l, from, out)
	case from.Stream:
	case !p.known:
		// The first address is used at once, within the limit, so that the
		// link can begin.
		p.current, p.known = from, true
		p.received = size
		s.challenge(l, from, size, out)
	case from == p.current:
		if !p.validated {
			p.received += size
		}
		if newest && p.validated {
			p.candidate = candidate{} // it came back
		}
	case from == p.candidate.path && p.candidate.tries > 0:
		p.candidate.received += size
	case newest:
		s.challenge(l, from, size, out)
	}
}

// challenge begins to challenge an address.
func (s *Session) challenge(l *linkState, path core.Path, received int, out *Output) {
	c := &l.paths.candidate
	*c = candidate{path: path, received: received}
	c.token = s.drawToken()
	s.sendChallenge(l, out)
}

// challengeAgain repeats a challenge that got no answer, and gives up in the
// end.
func (s *Session) challengeAgain(l *linkState, out *Output) {
	c := &l.paths.candidate
	if c.tries == 0 || s.now < c.due() {
		return
	}
	if c.tries >= challengeTries {
		*c = candidate{}
		return
	}
	s.sendChallenge(l, out)
}

func (s *Session) sendChallenge(l *linkState, out *Output) {
	c := &l.paths.candidate
	c.tries++
	c.at = s.now
	size := challengeLength + l.overhead()
	if c.sent+size > amplification*c.received {
		s.counters.DropPath++
		return
	}
	c.sent += size
	s.counters.PathChallenges++
	s.sendBody(l, c.path, wire.AppendPathChallenge(s.beginBody(), c.token), true, out)
}

// answered takes the answer to a challenge: the peer is where it was sent. What
// is on its way to where it was before has gone astray: all of it is sent again,
// before anything else, as the link lets it.
func (s *Session) answered(l *linkState, token [8]byte) {
	c := &l.paths.candidate
	if c.tries == 0 || token != c.token {
		return
	}
	if l.paths.validated {
		s.counters.PathChanges++
	}
	astray := l.paths.validated && !l.streaming()
	moved := l.streaming() || c.path.Remote.Addr() != l.paths.current.Remote.Addr() || !l.paths.validated
	l.paths.fix(c.path)
	if moved { // more than the port, which a NAT may change at will
		s.adoptPath(l)
	}
	*c = candidate{}
	if astray {
		s.lost = l.tx.Moved(s.now, s.lost[:0])
		s.strandLost()
	}
}

// drawToken makes what a path challenge asks to be sent back.
func (s *Session) drawToken() (token [8]byte) {
	for i := range token {
		token[i] = byte(s.random.Uint32())
	}
	return token
}
