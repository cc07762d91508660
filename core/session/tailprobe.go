package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
)

// This file is about the last datagram of a burst. A loss shows by what comes after
// it: where nothing does until the next round trip of the inner flow, its repair
// comes after more than two, and the flow's sender has sent its own probe by then
// (RFC 8985, section 7.2: two smoothed round trips) and halved its window. So a
// link that loses is asked for an acknowledgement soon after the last datagram: the
// number of the question shows the gap before it.

// tailShare of a link's round trip may pass after a datagram before the question
// follows, and at least the time in which the peer acknowledges by itself.
const tailShare = 8

// askedLoss is the loss up to which a link is asked. Above 4 % its rate follows each
// round's sample downward too (link.Sender), and the pause before a question would make
// the sample smaller than what the link carries.
const askedLoss = 0.04

// tailProbeDue is when a link is to be asked about the data that it carried last;
// core.Never where it hardly loses or loses very much, nothing is on its way, or it has
// been asked.
func (l *linkState) tailProbeDue() core.Time {
	if !l.tail || !l.tx.InFlight() {
		return core.Never
	}
	e := l.tx.Estimate()
	if e.Random < cleanLoss || e.Loss > askedLoss {
		return core.Never
	}
	// A paced link goes on by itself.
	pace := time.Duration(2 * core.FullPacket / max(e.Rate, 1) * 1e9)
	return l.tx.LastAsked().Add(max(e.SRTT/tailShare, link.AckDelay) + min(pace, e.SRTT))
}

// probeTail asks a link about the data that it carried last.
func (s *Session) probeTail(l *linkState, out *Output) {
	l.tail = false
	if l.usable() {
		s.probe(l, out)
	}
}
