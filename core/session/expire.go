package session

import (
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// maxWait is how long a packet may wait for a link. After an outage the packets
// that waited are what makes TCP connections go on at once: a sender tries
// again ever more seldom (RFC 6298, section 5.5). What is older is of no use to
// anybody and would only keep the links busy.
const maxWait = 2 * time.Minute

// expireEvery is how often packets that are too old are searched for.
const expireEvery = 5 * time.Second

// expire drops what has waited too long.
func (s *Session) expire() {
	if s.now < s.expireDue() || s.queue.Empty() && len(s.stranded) == 0 {
		return
	}
	s.expired = s.now
	before := s.now.Add(-maxWait)
	dropped := s.queue.Expire(before)
	s.stranded = slices.DeleteFunc(s.stranded, func(p *packet.Packet) bool {
		if p.Since >= before {
			return false
		}
		p.Release()
		dropped++
		return true
	})
	s.counters.DropQueueAge += uint64(dropped)
}

// expireDue is when expire is to be called next.
func (s *Session) expireDue() core.Time { return s.expired.Add(expireEvery) }
