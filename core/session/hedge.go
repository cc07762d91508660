package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/wire"
)

// This file is about a call whose link may have gone silent: as soon as a packet
// of it is answered late, all that are on their way go over the second best link
// too, and those that follow. That comes before the link is suspect: a copy that
// was not needed costs a few bytes, and waiting for certainty a gap.

// hedgeSlack is how much longer than usual the answer to a packet of a call may
// take, beside the peer's delay of reports.
const hedgeSlack = 5 * time.Millisecond

// maxSpoken bounds the packets of calls per link that are watched; the oldest
// goes when there are more.
const maxSpoken = 64

// hedge watches the packets of calls on their way over one link.
type hedge struct {
	spoken []onWay   // in the order of their numbers; those sent twice are not in it
	since  core.Time // when an answer was last late; 0: never
}

type onWay struct {
	number uint64
	at     core.Time
}

// sent notes a packet of a call that left on this link only.
func (h *hedge) sent(now core.Time, number uint64) {
	if len(h.spoken) == maxSpoken {
		h.spoken = h.spoken[:copy(h.spoken, h.spoken[1:])]
	}
	h.spoken = append(h.spoken, onWay{number, now})
}

// answered forgets the packets at the front whose fate is known to tx.
func (h *hedge) answered(tx *link.Sender) {
	n := 0
	for n < len(h.spoken) && !tx.Outstanding(h.spoken[n].number) {
		n++
	}
	h.spoken = h.spoken[:copy(h.spoken, h.spoken[n:])]
}

// trim gives memory back.
func (h *hedge) trim() {
	if len(h.spoken) == 0 {
		h.spoken = nil
	}
}

// hedgeDue is when the first packet of a call that is on its way is answered
// late.
func (l *linkState) hedgeDue() core.Time {
	if len(l.hedge.spoken) == 0 {
		return core.Never
	}
	e := l.tx.Estimate()
	return l.hedge.spoken[0].at.Add(e.SRTT + 2*e.RTTVar + link.AckDelay + hedgeSlack)
}

// hedging tells whether an answer was late and nothing was answered since.
func (l *linkState) hedging() bool { return l.hedge.since > 0 && l.tx.LastAck() <= l.hedge.since }

// hedgeCalls sends the packets of calls that are on their way over l on the second
// best link too, if the first of them is answered late.
func (s *Session) hedgeCalls(l *linkState, out *Output) {
	l.hedge.answered(l.tx)
	if l.hedgeDue() > s.now {
		return
	}
	l.hedge.since = s.now
	for _, v := range l.hedge.spoken {
		p := l.tx.Held(v.number)
		if p == nil || p.Arrived == wire.Whole {
			continue
		}
		if second := s.copyLink(l, len(p.Data)); second != nil {
			h := p.Header
			h.Flags |= wire.Copy
			s.sendPacket(second, p, h, wire.Whole, out)
		}
	}
	l.hedge.spoken = l.hedge.spoken[:0]
}
