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

// memory is what is known of a link that went down or was removed.
type memory struct {
	name     string
	guess    link.Guess // what it could carry; zero when that is not known
	left     core.Time  // when that was
	standing standing   // when it was last removed
}

// memoryOf returns what is remembered of a link; that is nothing when its number
// was another's.
func (s *Session) memoryOf(l *linkState) *memory {
	m := &s.memories[l.id]
	if m.name != l.name {
		*m = memory{name: l.name}
	}
	return m
}

// remember takes note of what a link that goes could carry.
func (s *Session) remember(l *linkState) {
	if g := l.tx.Guess(); g.Rate > 0 && l.health != probing {
		m := s.memoryOf(l)
		m.guess, m.left = g, s.now
	}
}

// recall returns what a link could carry when it went, and forgets it; zero when
// that is not known, or too old.
func (s *Session) recall(l *linkState) link.Guess {
	m := s.memoryOf(l)
	g, fresh := m.guess, m.fresh(s.now)
	m.guess = link.Guess{}
	if !fresh {
		return link.Guess{}
	}
	return g
}

// fresh tells whether the guess is known and young enough to count.
func (m *memory) fresh(now core.Time) bool {
	return m.guess.Rate > 0 && now.Sub(m.left) < rememberFor
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
		if m := &s.memories[i]; m.fresh(s.now) {
			c.Ahead += float64(m.guess.Window) + m.guess.Rate*c.RTT.Seconds()
		}
	}
}
