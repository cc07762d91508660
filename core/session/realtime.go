package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// This file is about packets that want low latency: they do not wait for their
// turn, and all of them leave on the one link with the lowest one-way latency.

// When the link of lowest latency changes: at once for one that is better by
// urgentMargin, after urgentPatience for one that is better by urgentNoise all
// that time.
const (
	urgentMargin   = 5 * time.Millisecond
	urgentNoise    = time.Millisecond
	urgentPatience = 500 * time.Millisecond
	// suspectPenalty is what a silent link is worse by.
	suspectPenalty = time.Second
)

// Packets of low latency may leave on a link whose window or pacer is closed, up
// to urgentShare of its rate, of which urgentBurst may pass at once. What is
// above that waits for the link as other packets do.
const (
	urgentShare = 0.3
	urgentBurst = 100 * time.Millisecond
	urgentLeast = 3000 // bytes that may pass at once in any case
)

// urgentLink is the choice of the link of lowest latency.
type urgentLink struct {
	link  *linkState
	rival *linkState // the best other one while it is better by a little
	since core.Time  // for how long

	passing allowance // of a closed window or pacer
}

// sendUrgent sends the waiting packets of low latency. The view must be filled.
func (s *Session) sendUrgent(out *Output) {
	for s.queue.Urgent() > 0 {
		l := s.urgentLink()
		if l == nil {
			return
		}
		if open, at := l.tx.Open(s.now); !open && !s.mayPass(l) {
			s.wake = min(s.wake, max(at, s.now+1))
			return
		}
		p := s.queue.TakeUrgent()
		s.urgent.passing.left -= float64(len(p.Data))
		s.counters.TxLowLatency++
		l.tx.Calm(s.now)
		links := sched.Of(l.id)
		if p.Call {
			links |= s.secure(l, len(p.Data))
		}
		s.sendOn(links, p, out)
		s.refreshAll(links)
	}
}

// mayPass tells whether packets of low latency may pass a link's closed window
// or pacer.
func (s *Session) mayPass(l *linkState) bool {
	rate := urgentShare * l.tx.Estimate().Rate
	return s.urgent.passing.ready(s.now, rate, max(rate*urgentBurst.Seconds(), urgentLeast))
}

// urgentLink returns the link on which packets of low latency leave now; nil
// when none can carry data.
func (s *Session) urgentLink() *linkState {
	u := &s.urgent
	best := s.quickest(nil)
	switch now := u.link; {
	case best == now:
		u.rival = nil
	case now == nil || s.links[now.id] != now || !s.eligible(now) || s.reserved(now) || best == nil:
		s.setUrgent(best)
	default:
		better := s.latency(now) - s.latency(best)
		if best != u.rival || better < urgentNoise {
			u.rival, u.since = best, s.now
		}
		if better >= urgentMargin || better >= urgentNoise && s.now.Sub(u.since) >= urgentPatience {
			s.setUrgent(best)
		}
	}
	return u.link
}

func (s *Session) setUrgent(l *linkState) {
	if s.urgent.link != nil {
		s.counters.UrgentSwitches++
	}
	s.urgent.link, s.urgent.rival = l, nil
}

// quickest returns the link of lowest latency other than except; nil when there
// is none that can carry data.
func (s *Session) quickest(except *linkState) *linkState {
	var best *linkState
	for _, l := range s.order {
		if l == except || !s.eligible(l) || s.reserved(l) {
			continue
		}
		if best == nil || s.latency(l) < s.latency(best) {
			best = l
		}
	}
	return best
}

// latency is by how much a link counts as late: what its last datagrams saw,
// with what is uncertain about it.
func (s *Session) latency(l *linkState) time.Duration {
	e := l.tx.Estimate()
	return e.Recent + l.doubt(&e)
}

// follow notes whether the peer sends a flow with low latency.
func (s *Session) follow(flags wire.Flags, data []byte) {
	low := flags&wire.LowLatency != 0
	if low {
		s.counters.RxLowLatency++
	}
	if s.answers != nil && (low || s.answers.n > 0) {
		s.answers.note(classify.Answer(data), low, s.now)
	}
}

// Bounds of the table of answers.
const (
	answerSets = 512
	answerWays = 4
	answerAge  = 30 * time.Second // without a packet from the peer
)

// answers are the flows that are answered with low latency, by their hash in
// this direction: a table of fixed size in which a flow takes the place of the
// one in its set that was silent for longest.
type answers struct {
	sets *[answerSets][answerWays]answer // nil: the peer has asked for none
	n    int                             // entries in use
}

type answer struct {
	flow uint32
	seen core.Time // 0: free
}

// note takes in a packet of the peer's half of a flow: one that does not want
// low latency ends it.
func (a *answers) note(flow uint32, low bool, now core.Time) {
	if a.sets == nil {
		a.sets = new([answerSets][answerWays]answer)
	}
	set := &a.sets[flow%answerSets]
	oldest := &set[0]
	for i := range set {
		e := &set[i]
		switch {
		case e.seen != 0 && e.flow == flow && low:
			e.seen = now
			return
		case e.seen != 0 && e.flow == flow:
			*e = answer{}
			a.n--
			return
		case e.seen < oldest.seen:
			oldest = e
		}
	}
	if !low {
		return
	}
	if oldest.seen == 0 {
		a.n++
	}
	*oldest = answer{flow, now}
}

// wants tells whether a flow is to be answered with low latency.
func (a *answers) wants(flow uint32, now core.Time) bool {
	if a == nil || a.n == 0 {
		return false
	}
	for _, e := range a.sets[flow%answerSets] {
		if e.flow == flow && e.seen != 0 {
			return now.Sub(e.seen) < answerAge
		}
	}
	return false
}
