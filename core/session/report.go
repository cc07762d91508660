package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/wire"
)

// adviseEvery is how often the peer is told the delays of the links while
// data is sent; every report carries them too.
const adviseEvery = 50 * time.Millisecond

// pingEvery is how often the link that carries the reports is asked for an
// acknowledgement, and heardOf how much longer than another it may be silent;
// less, down to heardOfBusy, where data comes over it at short intervals: the
// peer's windows are full soon after the reports have ceased to arrive.
const (
	pingEvery   = 50 * time.Millisecond
	heardOf     = 20 * time.Millisecond
	heardOfBusy = 10 * time.Millisecond
)

// ackHysteresis keeps the reports on the link that carries them unless another
// is faster by that much.
const ackHysteresis = 5 * time.Millisecond

// lossPenalty is what a link that always loses would be worse by, as a
// carrier of reports.
const lossPenalty = 200 * time.Millisecond

// reservedPenalty keeps reports and repairs off backups as long as an active
// link is not silent.
const reservedPenalty = 900 * time.Millisecond

// sendReports acknowledges what is due, about all links in one datagram.
func (s *Session) sendReports(out *Output) {
	due := false
	var about *linkState
	for _, l := range s.order {
		if l.rx.AckDue() <= s.now {
			due, about = true, l
		}
	}
	advise := s.now.Sub(s.advised) >= adviseEvery && s.sentData > s.advised
	if !due && !advise {
		return
	}
	l := s.reporter(about)
	if l == nil {
		return
	}
	b := s.beginBody()
	busy := s.now.Sub(s.gotData) < pingEvery
	if busy && s.now.Sub(l.pinged) >= pingEvery && !l.tx.InFlight() {
		// Reports are not acknowledged: without this, a link that carries
		// nothing else could go silent unnoticed while data comes in.
		l.pinged = s.now
		b = wire.AppendPing(b)
	}
	for _, m := range s.order {
		if m.rx.Pending() && len(b) < reportLen {
			m.rx.Report(s.now, m.id, &s.ack)
			b = wire.AppendAck(b, &s.ack)
		}
	}
	s.report = s.appendDelays(b)
	s.sendReport(l, out)
	if second := s.deputy(l, busy); second != nil {
		s.sendReport(second, out)
	}
}

// sendReport sends the report that has been made on a link.
func (s *Session) sendReport(l *linkState, out *Output) {
	if !l.paths.allows(wire.HeaderLen + len(s.report) + wire.TagLen + l.overhead()) {
		s.counters.DropPath++
		return
	}
	s.counters.AcksSent++
	s.sendBody(l, l.paths.current, s.report, !wire.IsReport(s.report), out)
}

// deputy returns the link that carries a copy of the reports while nobody can
// be sure of the link that carries them: it is silent, or nothing has come
// over it while data came over another. It may be one that is held to be down:
// what comes over it proves the contrary, and the peer is to learn that. nil
// when there is no doubt.
func (s *Session) deputy(l *linkState, busy bool) *linkState {
	var best *linkState
	for _, o := range s.order {
		if o != l && o.policy.Role != Off && o.paths.ready() && (best == nil || o.rx.LastReceived() > best.rx.LastReceived()) {
			best = o
		}
	}
	if best == nil {
		return nil
	}
	ahead := best.rx.LastReceived().Sub(l.rx.LastReceived())
	if l.health != up || best.health != up && ahead > 0 || busy && ahead >= min(max(4*l.rx.Pace(), heardOfBusy), heardOf) {
		return best
	}
	return nil
}

// reportLen is the length from which a report takes no further
// acknowledgement: the longest one still fits a datagram.
const reportLen = 700

// reporter is the link that carries reports: the one on which they arrive
// earliest. While none is known it is the link they are about.
func (s *Session) reporter(about *linkState) *linkState {
	best := s.earliest(nil, s.links[s.ackLink%core.MaxLinks])
	if best == nil {
		return about
	}
	s.ackLink = best.id
	return best
}

// earliest returns the usable link on which a packet sent now arrives first,
// other than except; favourite wins unless it is later by the hysteresis.
func (s *Session) earliest(except, favourite *linkState) *linkState {
	return s.least(except, func(l *linkState) time.Duration {
		if l == favourite {
			return s.lateness(l) - ackHysteresis
		}
		return s.lateness(l)
	})
}

// least returns the usable link, other than except, that is least late.
func (s *Session) least(except *linkState, late func(*linkState) time.Duration) *linkState {
	var best *linkState
	var least time.Duration
	for _, l := range s.order {
		if l == except || !l.usable() {
			continue
		}
		if t := late(l); best == nil || t < least {
			best, least = l, t
		}
	}
	return best
}

// lateness is when a packet sent now on a link arrives, with what is uncertain
// about it. It holds the unknown constant of all one-way delays.
func (s *Session) lateness(l *linkState) time.Duration {
	e := l.tx.Estimate()
	t := l.doubt(&e) + e.Delay
	if e.Starting {
		t += startQueue(&e)
	}
	if l.streaming() {
		t += streamPenalty
	}
	if s.reserved(l) {
		t += reservedPenalty
	}
	return t
}

// startQueue is the queue on a link that is starting, if it is as fast as what
// it has delivered and no more: what leaves now may wait for so long. Its
// scheduler hopes for more (link.Sender.Estimate); a report that waits behind a
// burst of acknowledgements makes the peer send again all that it does not know of.
func startQueue(e *link.Estimate) time.Duration {
	if e.Rate <= 0 {
		return 0
	}
	return max(0, time.Duration(float64(e.InFlight)/e.Rate*1e9)-e.SRTT)
}

// doubt is what a delay of a link is taken longer for: its jitter, its loss, and
// that it has gone silent. e is its estimate.
func (l *linkState) doubt(e *link.Estimate) time.Duration {
	t := 2*e.Jitter + time.Duration(e.Loss*float64(lossPenalty))
	if l.health == suspect {
		t += suspectPenalty
	}
	return t
}

// appendDelays tells the peer how far apart in time packets may arrive.
func (s *Session) appendDelays(b []byte) []byte {
	var lo, hi, jitter time.Duration
	first := true
	for _, l := range s.order {
		if !l.usable() {
			continue
		}
		e := l.tx.Estimate()
		if first {
			lo, hi, first = e.Delay, e.Delay, false
		}
		lo, hi, jitter = min(lo, e.Delay), max(hi, e.Delay), max(jitter, e.Jitter)
	}
	s.advised = s.now
	return wire.AppendDelays(b, wire.Delays{Spread: hi - lo, Jitter: jitter, Repair: s.repairTime(), Backlog: s.backlog()})
}
