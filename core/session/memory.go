package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/queue"
)

// rememberFor is how long it is remembered what a link that went could carry:
// one that comes back by then goes on from there.
const rememberFor = 10 * time.Second

// memory is what a link could carry when it went down or was removed.
type memory struct {
	name  string
	guess link.Guess
	left  core.Time
	set   bool
}

// remember takes note of a link that goes.
func (s *Session) remember(l *linkState) {
	if g := l.tx.Guess(); g.Rate > 0 && l.health != probing {
		s.memories[l.id] = memory{name: l.name, guess: g, left: s.now, set: true}
	}
}

// recall returns what is remembered of a link, and forgets it; ok is false when
// that is nothing, or too old.
func (s *Session) recall(id core.LinkID, name string) (g link.Guess, ok bool) {
	m := s.memories[id]
	s.memories[id] = memory{}
	return m.guess, m.set && m.name == name && s.now.Sub(m.left) < rememberFor
}

// expectReturn lets what the links that are away had in flight wait for them in
// the queue, and up to a round trip of what those had whose rate fell: a sender
// that is told to slow down at once needs many seconds to use them again (the
// cubic growth of RFC 9438), and most outages are short. An only link whose rate
// wanders is not waited for: what waits would fill it at each fall.
func (s *Session) expectReturn(c *queue.Conditions) {
	if len(s.view.Links) > 1 {
		fallen := 0.0
		for _, l := range s.view.Links {
			fallen += float64(s.links[l.ID].tx.Fallen(s.now))
		}
		c.Ahead += min(fallen, c.Rate*c.RTT.Seconds())
	}
	for i := range s.memories {
		if m := &s.memories[i]; m.set && s.now.Sub(m.left) < rememberFor {
			c.Ahead += float64(m.guess.Window) + m.guess.Rate*c.RTT.Seconds()
		}
	}
}
