package session

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/wire"
)

// The inner MTU never changes. A link whose path carries less than a full
// datagram carries packets that do not fit in two halves, and the MSS of new TCP
// connections is lowered to what all links carry whole: a few header bytes per
// packet more cost less than a second datagram.

// datagramOverhead is what a packet grows by until it is an outer payload, with
// room for a repair.
const datagramOverhead = wire.HeaderLen + wire.PacketHeaderLen + wire.RepairLen + wire.TagLen

// adoptPath tells the sender of a link what its path is now: a stream, or one of
// which it begins to search what it carries, up to the size of the largest datagram
// that is ever sent.
func (s *Session) adoptPath(l *linkState) {
	need := s.cfg.MTU + datagramOverhead + l.overhead()
	if l.streaming() {
		need = 0
	}
	l.tx.SetStream(l.streaming())
	l.tx.SearchMTU(s.now, need)
}

// carries tells whether a link carries an inner packet of n bytes whole.
func (l *linkState) carries(n int) bool {
	size, _ := l.tx.MTU()
	return size == 0 || n+datagramOverhead+l.overhead() <= size
}

// mtuDue is when the path MTU of a link is to be probed.
func (l *linkState) mtuDue() core.Time {
	if l.health != up || !l.usable() {
		return core.Never
	}
	return l.tx.MTUProbeDue()
}

// probeMTU sends the probes of the path MTU that are due. A small one follows:
// when it comes, those that did not are lost.
func (s *Session) probeMTU(l *linkState, out *Output) {
	for {
		number := l.tx.NextNumber()
		size, ok := l.tx.MTUProbe(s.now)
		if !ok {
			break
		}
		size -= l.overhead() + wire.HeaderLen + wire.TagLen
		s.seal(l, l.paths.current, wire.AppendPadding(wire.AppendPing(s.beginBody()), size), number, out)
	}
	s.probe(l, out)
}

// clampMTU is the largest inner packet that all links in use carry whole, as
// far as is known.
func (s *Session) clampMTU() int {
	mtu := s.cfg.MTU
	for _, l := range s.order {
		if size, small := l.tx.MTU(); small && l.usable() && l.policy.Role == Active {
			mtu = min(mtu, size-datagramOverhead-l.overhead())
		}
	}
	return max(mtu, link.FloorMTU/2)
}
