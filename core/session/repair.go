package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Limits of repair: a packet is sent again at most maxTries times, while it is
// younger than repairAge and the round trip of its link, and on a link that has
// no more than repairAge to do for what was sent on it before: what a fast link had
// on its way when it fell silent is minutes of work for a slow one.
const (
	maxTries  = 4
	repairAge = 500 * time.Millisecond
	// doubleLoss is the loss of a link from which a repair over it is sent on
	// the next best as well, if that has room.
	doubleLoss = 0.003
)

// repair sends what s.lost holds, lost on l, again: past the queue, the window
// and the pacer, on the link where it arrives first.
func (s *Session) repair(l *linkState, out *Output) {
	srtt := l.tx.Estimate().SRTT
	for _, lost := range s.lost {
		p := lost.Held
		if p == nil {
			continue
		}
		if s.worthRepair(p, lost.Part, srtt) {
			s.resend(l, lost, out)
		}
		p.Release()
	}
	s.lost = s.lost[:0]
}

func (s *Session) worthRepair(p *packet.Packet, part wire.Part, srtt time.Duration) bool {
	return s.cfg.Send.Retransmit && p.Arrived&part != part && p.Tries < maxTries &&
		s.now.Sub(p.Sent) < repairAge+srtt
}

func (s *Session) resend(lostOn *linkState, lost link.Lost, out *Output) {
	p := lost.Held
	best := s.repairer(nil)
	if best == nil {
		s.strand(p)
		return
	}
	if best.tx.Ahead(s.now) > repairAge {
		return // it would come too late, and all that follows as well
	}
	p.Tries++
	h := p.Header
	h.Flags |= wire.Repaired
	h.LostLink, h.LostNumber = lostOn.id, lost.Number
	s.counters.Retransmitted++
	s.sendPacket(best, p, h, lost.Part, out)
	if best.tx.Estimate().Loss > doubleLoss || p.Tries > 1 {
		if second := s.repairer(best); second != nil && second.open(s.now) {
			s.counters.Retransmitted++
			s.sendPacket(second, p, h, lost.Part, out)
		}
	}
}

// repairer is the link, other than except, on which a repair arrives first. It
// leaves past the pacer and meets what the pacer let go too early: a queue that
// is short, and lost the packet, would lose it again.
func (s *Session) repairer(except *linkState) *linkState {
	return s.least(except, func(l *linkState) time.Duration {
		return s.lateness(l) + l.tx.Ahead(s.now)
	})
}

// open tells whether a link takes a datagram now that need not be sent: what
// leaves past window and pacer is taken from what comes after it.
func (l *linkState) open(now core.Time) bool {
	open, _ := l.tx.Open(now)
	return open
}

// maxGaps bounds the losses per link whose repair is awaited.
const maxGaps = 256

// gap is a datagram that did not come and whose repair may.
type gap struct {
	number uint64 // modulo 2^56
	until  core.Time
}

// openGaps notes numbers that a link skipped.
func (s *Session) openGaps(l *linkState, r wire.Range) {
	if s.env.Repair == 0 {
		return
	}
	until := s.now.Add(s.env.Repair + s.env.Repair/2 + gapSlack)
	for n := r.First; n <= r.Last && len(l.gaps) < maxGaps; n++ {
		l.gaps = append(l.gaps, gap{n & (1<<56 - 1), until})
		s.env.OpenGaps++
	}
}

// gapSlack is added to the wait for a repair.
const gapSlack = 20 * time.Millisecond

// closeGap notes that the repair of a number has come.
func (s *Session) closeGap(id core.LinkID, number uint64) {
	l := s.links[id]
	if l == nil {
		return
	}
	for i := range l.gaps {
		if l.gaps[i].number == number {
			l.gaps[i] = l.gaps[len(l.gaps)-1]
			l.gaps = l.gaps[:len(l.gaps)-1]
			s.env.OpenGaps--
			return
		}
	}
}

// updateEnv brings what the resequencer knows up to date.
func (s *Session) updateEnv() {
	e := &s.env
	e.Now, e.Links, e.OpenGaps, e.Outage = s.now, 0, 0, 0
	e.Lag = s.lag.at(s.now)
	for _, l := range s.order {
		if last := l.rx.LastReceived(); last > 0 && s.now.Sub(last) < time.Second {
			e.Links |= 1 << l.id
			if e.Repair > 0 && s.missedFor(l) > e.Spread+heardOf {
				_, downAfter := l.limits() // the peer's, more or less
				e.Outage = max(e.Outage, downAfter)
			}
		}
		kept := l.gaps[:0]
		for _, g := range l.gaps {
			if g.until.Add(e.Lag) > s.now {
				kept = append(kept, g)
			}
		}
		l.gaps = kept
		e.OpenGaps += len(kept)
	}
}

// tailDue is when the oldest datagram on its way over a link is lost for want of
// an answer.
func (s *Session) tailDue(l *linkState) core.Time {
	t := l.tx.NextTimeout()
	if t == core.Never {
		return t
	}
	return t.Add(s.lag.at(s.now))
}

// missedFor is for how long nothing has come over a link that something may be
// missing from: as long as data came over others, and until now where it does not
// answer either. Reports that are lost with it make the peer stop on all links.
func (s *Session) missedFor(l *linkState) time.Duration {
	if l.health == suspect || l.health == down {
		return s.now.Sub(l.rx.LastReceived())
	}
	return s.gotData.Sub(l.rx.LastReceived())
}
