package sched

import (
	"math"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// earliest lets the links pull packets so that they arrive in order: the link
// that delivers soonest takes the head of the queue, and one that is later by
// some time takes the packet which the faster links will have delivered all
// before by then. A packet is bound to a link only when that link can send it.
//
// It joins earliest-arrival scheduling (OTIAS, Yang et al., "Out-of-order
// transmission for in-order arrival scheduling for multipath TCP", AINA 2014)
// with pacing at the links' own rates and late binding; docs/schedulers.md has
// the reasons and the figures.
type earliest struct {
	order []arrival // scratch
}

// arrival is a link with the time after which what it takes has arrived.
type arrival struct {
	link  *Link
	after time.Duration // one-way, with the repair of what it loses
}

// Constants of earliest.
const (
	// aheadSlack is the difference between links, in bytes, that is not worth
	// taking packets out of order for.
	aheadSlack = 2 * segment
	// burstTime of a link's rate is taken in one go.
	burstTime = 250 * time.Microsecond
	burstMost = 32
)

func (*earliest) Name() string { return "earliest" }

func (s *earliest) Pick(v *View) (Choice, core.Time, bool) {
	s.rank(v)
	wake := core.Never
	head := v.Queue.At(0)
	if v.Sparse {
		if l := s.first(v, head); l != nil {
			return Choice{Count: 1, Links: Of(l.ID)}, 0, true
		}
	}
	for _, a := range s.order {
		l := a.link
		if !l.Open {
			wake = min(wake, l.OpensAt)
			continue
		}
		if i, ok := s.index(v, a, head); ok {
			return Choice{From: i, Count: burst(l), Links: Of(l.ID)}, 0, true
		}
	}
	return Choice{}, wake, false
}

// first is the link that delivers head soonest, if head may leave on it now. A
// packet of a sparse flow does not take the next best link because the best one is
// busy with others': to wait for it, or to let it pass, is sooner.
func (s *earliest) first(v *View, head Packet) *Link {
	for _, a := range s.order {
		last, carried := v.Queue.LastSequence(a.link.ID, head.Bucket)
		if carried && int16(head.Sequence-last) <= 0 {
			continue
		}
		if a.link.Open || a.link.Passable {
			return a.link
		}
		return nil
	}
	return nil
}

// rank orders the links by arrival.
func (s *earliest) rank(v *View) {
	s.order = s.order[:0]
	responsive(v.Links, func(l *Link) {
		s.order = append(s.order, arrival{l, l.Delay + l.Repair})
	})
	slices.SortStableFunc(s.order, func(a, b arrival) int { return int(a.after - b.after) })
}

// index is the packet that a should take: the one that arrives in order. ok is
// false when the faster links will have sent all there is by then.
func (s *earliest) index(v *View, a arrival, head Packet) (i int, ok bool) {
	q := v.Queue
	if !s.othersTake(q, a.link, head) {
		return 0, true
	}
	// Of what the faster links deliver, this flow has its share.
	if ahead := s.ahead(a) / float64(max(1, v.Flows)); ahead > aheadSlack {
		if float64(q.Bytes()) <= ahead && !v.Held {
			return 0, false
		}
		i = q.Find(int(ahead))
	}
	// A link carries the packets of a bucket in growing order: the receiver
	// infers from it what is lost.
	for ; i < q.Len(); i++ {
		p := q.At(i)
		last, carried := q.LastSequence(a.link.ID, p.Bucket)
		if !carried || int16(p.Sequence-last) > 0 {
			return i, true
		}
	}
	return 0, false
}

// ahead is what the faster links deliver before a would, in bytes.
func (s *earliest) ahead(a arrival) float64 {
	sum := 0.0
	for _, f := range s.order {
		if f.after < a.after {
			sum += f.link.delivers(a.after - f.after)
		}
	}
	return sum
}

// delivers is how much a link delivers in d, in bytes. One that is starting
// will do better than it has: to give its packets to a slower link now would
// tell the inner sender that the path is full.
func (l *Link) delivers(d time.Duration) float64 {
	if !l.Starting || l.SRTT <= 0 {
		return l.Rate * d.Seconds()
	}
	rounds := min(d.Seconds()/l.SRTT.Seconds(), 10)
	return l.Potential * d.Seconds() * math.Exp2(rounds)
}

// othersTake tells whether a link other than l may still take the head: if
// none may, l must, or it would be stranded.
func (s *earliest) othersTake(q Queue, l *Link, head Packet) bool {
	for _, o := range s.order {
		if o.link == l {
			continue
		}
		last, carried := q.LastSequence(o.link.ID, head.Bucket)
		if !carried || int16(head.Sequence-last) > 0 {
			return true
		}
	}
	return false
}

// Backlog is what the latest link needs to see ahead of its packets.
func (s *earliest) Backlog(v *View) int {
	s.rank(v)
	if len(s.order) == 0 {
		return 0
	}
	return int(s.ahead(s.order[len(s.order)-1]))
}

// burst is the number of packets a link takes in one go.
func burst(l *Link) int {
	return max(1, min(burstMost, int(l.Rate*burstTime.Seconds()/segment)))
}

func (*earliest) Sent(core.Time, core.LinkID, int) {}
