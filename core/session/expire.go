package session

import (
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/gso"
	"github.com/multilink-vpn/multilink/core/packet"
)

// How long a packet may wait for a link. Of most protocols nobody waits for a
// packet longer than seconds: it would only keep the links busy when they are
// back. What TCP has sent stays useful for as long as its connection lives,
// which in Linux is 15 minutes (tcp_retries2, tcp(7)): the sender tries again
// ever more seldom, and the answer to what waited here is what makes it go on
// at once.
const (
	maxWait    = 30 * time.Second
	maxWaitTCP = 15 * time.Minute
)

// expireEvery is how often packets that are too old are searched for.
const expireEvery = 5 * time.Second

// expire drops what has waited too long.
func (s *Session) expire() {
	if s.now < s.expireDue() || s.queue.Empty() && len(s.stranded) == 0 {
		return
	}
	s.expired = s.now
	dropped := s.queue.Expire(s.tooOld)
	s.stranded = slices.DeleteFunc(s.stranded, func(p *packet.Packet) bool {
		old := s.tooOld(p)
		if old {
			p.Release()
			dropped++
		}
		return old
	})
	s.counters.DropQueueAge += uint64(dropped)
}

// expireDue is when expire is to be called next.
func (s *Session) expireDue() core.Time { return s.expired.Add(expireEvery) }

func (s *Session) tooOld(p *packet.Packet) bool {
	limit := maxWait
	if classify.Protocol(p.Data) == gso.ProtocolTCP {
		limit = maxWaitTCP
	}
	return s.now.Sub(p.Since) > limit
}
