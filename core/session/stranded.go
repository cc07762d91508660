package session

import (
	"slices"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// maxStranded bounds the packets that are kept while no link works: 5.6 MiB,
// the product of 100 Mbit/s and half a second.
const maxStranded = 4096

// strand keeps a packet that was on its way when the last link went, or to where
// the peer is no more, with a reference of its own. It goes first when there is a
// link again: a TCP sender is silent for as long as it has already waited (RFC
// 6298, section 5.5), and only an answer to what it sent makes it go on at once.
func (s *Session) strand(p *packet.Packet) {
	if n := len(s.stranded); n > 0 && s.stranded[n-1] == p {
		return // the other half of it
	}
	if len(s.stranded) >= maxStranded {
		s.counters.DropStranded++
		return
	}
	p.Retain()
	s.stranded = append(s.stranded, p)
}

// strandLost strands what s.lost holds.
func (s *Session) strandLost() {
	for _, lost := range s.lost {
		if p := lost.Held; p != nil {
			if p.Arrived != wire.Whole {
				s.strand(p)
			}
			p.Release()
		}
	}
	s.lost = s.lost[:0]
}

// sendStranded sends what was stranded as windows and pacers let it, and
// tells whether nothing of it is left.
func (s *Session) sendStranded(out *Output) bool {
	if len(s.stranded) == 0 {
		return true
	}
	l := s.earliest(nil, nil)
	if l == nil {
		return false
	}
	sortBySequence(s.stranded)
	s.looked = false
	n := 0
	for _, p := range s.stranded {
		open, next := l.tx.Open(s.now)
		if !open {
			s.wake = min(s.wake, max(next, s.now+1))
			break
		}
		p.Sent, p.Tries = s.now, 0
		s.counters.Retransmitted++
		s.sendPacket(l, p, p.Header, wire.Whole, out)
		p.Release()
		n++
	}
	s.stranded = slices.Delete(s.stranded, 0, n)
	return len(s.stranded) == 0
}

// sortBySequence sorts packets of several links as they were sent at first.
func sortBySequence(list []*packet.Packet) {
	slices.SortStableFunc(list, func(a, b *packet.Packet) int {
		return int(int32(a.Header.Sequence - b.Header.Sequence))
	})
}

// Drain ends all links and hands over the packets that the peer has not
// acknowledged and those that wait, for the session that takes the place of
// this one. They are valid as long as this one exists.
func (s *Session) Drain() []core.Packet {
	for _, l := range s.order {
		s.links[l.id] = nil
		s.lost = l.tx.Close(s.now, s.lost[:0])
		s.strandLost()
	}
	s.relist()
	sortBySequence(s.stranded)
	var packets []core.Packet
	keep := func(p *packet.Packet) {
		packets = append(packets, core.Packet{Data: p.Data, Partial: p.Header.Flags&wire.Partial != 0})
	}
	for _, p := range slices.CompactFunc(s.stranded, func(a, b *packet.Packet) bool { return a == b }) {
		keep(p)
	}
	s.stranded = nil
	for s.queue.Urgent() > 0 {
		keep(s.queue.TakeUrgent())
	}
	for s.queue.Waiting() {
		p, _ := s.queue.Take(0)
		keep(p)
	}
	return packets
}
