package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Equalisation (Strategy.Equalize) holds packets back on fast links so that all
// links deliver in order: every packet then has the delay of the slowest link,
// and no backlog is needed to use it. A sender that builds none, like BBR, keeps
// to the rate it sees and would stay on the first link for ever.
//
// By itself it is done for such flows only, and at one moment only. BBR's window
// is twice the product of its rate and of the least round trip it saw in ten
// seconds (draft-ietf-ccwg-bbr, section 4.3.4): were the round trip to grow
// more than that, the rate would spiral down until the ten seconds are over.
// Then it pauses for 200 ms to measure anew. So a flow that fills the first link
// and has paused like that is held from shortly before its next pause is due, and
// let go when the pause does not come or nothing is gained.
const (
	equalizeTick  = 100 * time.Millisecond
	equalizeAfter = 9300 * time.Millisecond // since the flow began or last paused
	equalizeBrief = 500 * time.Millisecond  // a pause is over by then
	equalizePause = 1500 * time.Millisecond // within which it must pause
	equalizeBack  = 2500 * time.Millisecond // after which it must be near its old rate
	equalizeTrial = 8 * time.Second         // within which it must gain
	equalizeAgain = 60 * time.Second        // until the next trial of one that did not
	equalizeMost  = 400 * time.Millisecond  // longest hold
	equalizeLeast = 5 * time.Millisecond    // a difference not worth it

	fullShare   = 0.75 // of the first link's rate: it is used up
	filledShare = 0.8  // of the ticks since the last pause: it is used up
	roomShare   = 0.5  // of a link's window: in flight when it could carry more
	backShare   = 0.7  // of what was sent before
	gainShare   = 1.05 // of what was sent before: holding was worth it
	slowShare   = 0.05 // of the fastest link's rate: too slow to wait for
	pauseShare  = 0.3  // of the flow's rate: it pauses
	bulkShare   = 0.1  // of all bytes: a flow that counts
)

// equalizeFlows bounds the flows looked at: more than these share a full link
// with too small shares to matter.
const equalizeFlows = 8

// equalizer decides for which buckets packets are held.
type equalizer struct {
	at    core.Time // of the last tick
	sent  [core.MaxLinks]uint64
	flows [equalizeFlows]bulkFlow
	first core.LinkID                  // the link with the least delay
	holds [core.MaxLinks]time.Duration // for which a packet waits on a link; < 0: not used
}

// bulkFlow is a bucket with much to send.
type bulkFlow struct {
	bucket uint8         // wire.Unordered: none
	bytes  int           // sent since the last tick
	usual  float64       // bytes a tick, averaged
	probes bool          // it has paused as BBR does
	ticks  int           // since it began or paused
	filled int           // of them, those in which the first link was full
	calm   time.Duration // since it began or paused

	held   bool
	paused bool      // since it is held
	began  core.Time // when holding began
	speed  float64   // bytes/s over all links, averaged, while it is held
	before float64   // bytes/s over all links when holding began
	gained core.Time // when holding began or was last worth it
	barred core.Time // until when it is not tried again
}

// note takes in that a packet of a bucket has left.
func (q *equalizer) note(bucket uint8, size int) {
	var free *bulkFlow
	for i := range q.flows {
		f := &q.flows[i]
		if f.bucket == bucket {
			f.bytes += size
			return
		}
		if f.bucket == wire.Unordered || f.usual < 1 && f.bytes == 0 {
			free = f
		}
	}
	if free != nil {
		*free = bulkFlow{bucket: bucket, bytes: size}
	}
}

// holding tells whether packets of the bucket whose turn it is are held.
func (s *Session) holding() bool {
	if s.cfg.Send.Equalize == EqualizeOff || len(s.view.Links) < 2 {
		return false
	}
	if s.cfg.Send.Equalize == EqualizeOn {
		return true
	}
	bucket := s.queue.Turn()
	for i := range s.equal.flows {
		if f := &s.equal.flows[i]; f.bucket == bucket {
			return f.held
		}
	}
	return false
}

// pick asks the scheduler about the bucket whose turn it is. Where its packets
// are held, it sees links as closed until the head may leave there.
func (s *Session) pick() (c sched.Choice, wake core.Time, ok bool) {
	v := &s.view
	v.Held = s.holding()
	v.Sparse = !v.Held && s.queue.Sparse()
	if v.Sparse {
		for i := range v.Links {
			l := &v.Links[i]
			l.Passable = s.links[l.ID].tx.Passable(s.now)
		}
	}
	if !v.Held {
		return s.sched.Pick(v)
	}
	s.equal.level(v)
	since := v.Queue.At(0).Since
	var open [core.MaxLinks]bool
	var opensAt [core.MaxLinks]core.Time
	for i := range v.Links {
		l := &v.Links[i]
		open[i], opensAt[i] = l.Open, l.OpensAt
		hold := s.equal.holds[l.ID]
		switch at := since.Add(hold); {
		case hold < 0:
			l.Open, l.OpensAt = false, core.Never
		case at > s.now:
			if l.Open || l.OpensAt < at {
				l.OpensAt = at
			}
			l.Open = false
		}
	}
	c, wake, ok = s.sched.Pick(v)
	for i := range v.Links {
		v.Links[i].Open, v.Links[i].OpensAt = open[i], opensAt[i]
	}
	return c, wake, ok
}

// level works out how long each link's packets wait for the slowest link.
func (q *equalizer) level(v *sched.View) {
	q.holds = [core.MaxLinks]time.Duration{}
	var first *sched.Link
	fastest := 0.0
	for i := range v.Links {
		l := &v.Links[i]
		fastest = max(fastest, l.Rate)
		if !l.Suspect && !l.Backup && (first == nil || l.Base < first.Base) {
			first = l
		}
	}
	if first == nil {
		return
	}
	q.first = first.ID
	var last time.Duration
	for i := range v.Links {
		l := &v.Links[i]
		late := l.Base - first.Base
		if l.Suspect || l.Backup || late > equalizeMost || !roomy(l) && l.Rate < slowShare*fastest {
			q.holds[l.ID] = -1
			continue
		}
		q.holds[l.ID] = late
		last = max(last, late)
	}
	for i := range v.Links {
		if id := v.Links[i].ID; q.holds[id] >= 0 {
			q.holds[id] = last - q.holds[id]
		}
	}
}

// equalize looks every tick which flows need it. The view must be fresh.
func (s *Session) equalize() {
	q := &s.equal
	past := s.now.Sub(q.at)
	if s.cfg.Send.Equalize != EqualizeAuto || past < equalizeTick {
		return
	}
	q.at = s.now
	q.level(&s.view)
	t := tick{past: past}
	for i := range s.view.Links {
		l := &s.view.Links[i]
		sent := float64(l.Sent - q.sent[l.ID])
		q.sent[l.ID] = l.Sent
		if q.holds[l.ID] < 0 {
			continue
		}
		t.total += sent
		t.span = max(t.span, q.holds[l.ID])
		t.room = t.room || roomy(l)
		if l.ID == q.first {
			t.full = !roomy(l) && sent >= fullShare*l.Rate*past.Seconds()
		}
	}
	for i := range q.flows {
		if f := &q.flows[i]; f.bucket != wire.Unordered {
			f.tick(s.now, &t)
		}
	}
}

// roomy tells whether a link could carry more. The rate of one that carries
// little is not known.
func roomy(l *sched.Link) bool {
	return l.Starting || float64(l.InFlight) < roomShare*float64(l.Window)
}

// tick is what happened since the last one.
type tick struct {
	past  time.Duration
	total float64       // bytes sent over all links
	span  time.Duration // between the fastest and the slowest link
	full  bool          // the first link was used up
	room  bool          // another could carry more
}

// tick decides about one flow.
func (f *bulkFlow) tick(now core.Time, t *tick) {
	pauses := float64(f.bytes) < pauseShare*f.usual
	f.usual += (float64(f.bytes) - f.usual) / 8
	f.calm += t.past
	f.ticks++
	if t.full && t.room && float64(f.bytes) >= bulkShare*t.total {
		f.filled++
	}
	speed := t.total / t.past.Seconds()
	switch {
	case f.held:
		// What holding begins with is a gap, too.
		f.paused = f.paused || pauses && now.Sub(f.began) > 2*t.past+t.span
		if speed >= gainShare*f.before {
			f.gained = now
		}
		f.speed += (speed - f.speed) / 4
		wait := now.Sub(f.began)
		if !f.paused && wait > equalizePause || wait > equalizeBack && f.speed < backShare*f.before ||
			now.Sub(f.gained) > equalizeTrial {
			f.held, f.barred = false, now.Add(equalizeAgain)
		}
	case pauses:
		f.probes = f.calm >= equalizeAfter || f.probes && f.calm < equalizeBrief
		f.calm, f.ticks, f.filled, f.before = 0, 0, 0, 0
	case f.calm >= equalizeAfter && t.span >= equalizeLeast && now >= f.barred && f.probes &&
		float64(f.filled) >= filledShare*float64(f.ticks):
		f.held, f.paused, f.began, f.gained, f.speed = true, false, now, now, f.before
	default:
		f.before += (speed - f.before) / float64(f.ticks)
	}
	f.bytes = 0
}

// held is how many flows are held.
func (q *equalizer) held() int {
	n := 0
	for i := range q.flows {
		if q.flows[i].held {
			n++
		}
	}
	return n
}
