package sched

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

const packetLen = 1500

// world is a small simulation: a scheduler spreads packets over links that have
// a rate, a delay and a window a little above what they hold.
type world struct {
	t       testing.TB
	now     core.Time
	s       Scheduler
	links   []*simLink
	q       packets
	view    View
	next    uint16
	feed    func() Packet // what comes whenever less than feedTo waits; nil: nothing
	feedTo  int
	arrived int       // packets that came through
	lastAt  core.Time // when the last of them did
}

// simLink is one link and what is on its way over it.
type simLink struct {
	Link
	delay   time.Duration // one way
	loss    float64
	owed    float64 // of loss: a packet is lost whenever it exceeds 1
	free    core.Time
	flights []flight
	gone    bool
	byFlow  map[uint32]int // bytes sent
}

type flight struct {
	sent, arrives core.Time
	size          int
	lost          bool
}

// packets is a queue of single packets.
type packets []Packet

func (q packets) Len() int                                       { return len(q) }
func (q packets) Bytes() int                                     { return len(q) * packetLen }
func (q packets) At(i int) Packet                                { return q[i] }
func (q packets) Find(offset int) int                            { return min(offset/packetLen, len(q)-1) }
func (q packets) LastSequence(core.LinkID, uint8) (uint16, bool) { return 0, false }

func newWorld(t testing.TB, scheduler string, links ...*simLink) *world {
	s, err := New(scheduler)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: 1e9, s: s, links: links, feedTo: 1000}
	w.view.Budget = 11 << 20
	for i, l := range links {
		l.ID = core.LinkID(i)
		l.Known, l.SRTT, l.MinRTT, l.Base = true, 2*l.delay, 2*l.delay, l.delay
		l.Window = int(1.25*l.Rate*l.MinRTT.Seconds()) + 4*packetLen
		l.byFlow = map[uint32]int{}
	}
	return w
}

func link(rate float64, delay time.Duration) *simLink {
	return &simLink{Link: Link{Rate: rate}, delay: delay}
}

// bulk is an endless flow.
func bulk() Packet { return Packet{Len: packetLen, Bucket: 1} }

// push puts n packets into the queue.
func (w *world) push(n int, packet func() Packet) {
	for range n {
		p := packet()
		p.Sequence, p.Since = w.next, w.now
		w.next++
		w.q = append(w.q, p)
	}
}

// run goes on for d, or until nothing more happens.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); ; {
		if w.feed != nil {
			w.push(w.feedTo-len(w.q), w.feed)
		}
		wake := min(w.pump(), w.acknowledge())
		if wake > end {
			w.now = end
			return
		}
		w.now = wake
		w.acknowledge()
	}
}

// pump asks the scheduler as a session does and returns its wish.
func (w *world) pump() core.Time {
	for len(w.q) > 0 {
		w.look()
		if len(w.view.Links) == 0 {
			return core.Never
		}
		c, wake, ok := w.s.Pick(&w.view)
		if !ok {
			return max(wake, w.now+1)
		}
		open := true
		for n := 0; n < c.Count && open && c.From < len(w.q); n++ {
			p := w.q[c.From]
			w.q = append(w.q[:c.From], w.q[c.From+1:]...)
			for _, l := range w.links {
				if c.Links.Has(l.ID) {
					l.send(w.now, p)
					w.s.Sent(w.now, l.ID, p.Len)
					open = open && l.Open
				}
			}
		}
	}
	return core.Never
}

func (w *world) look() {
	v := &w.view
	v.Now, v.Queue, v.Flows, v.Backlog, v.Links = w.now, w.q, 1, w.q.Bytes(), v.Links[:0]
	for _, l := range w.links {
		if !l.gone {
			l.Delay = l.Base + max(0, l.free.Sub(w.now))
			l.refresh()
			v.Links = append(v.Links, l.Link)
		}
	}
}

func (l *simLink) refresh() { l.Open, l.OpensAt = l.InFlight+packetLen <= l.Window, core.Never }

func (l *simLink) send(now core.Time, p Packet) {
	l.free = max(l.free, now).Add(time.Duration(float64(p.Len) / l.Rate * 1e9))
	l.owed += l.loss
	f := flight{sent: now, arrives: l.free.Add(l.delay), size: p.Len, lost: l.owed >= 1}
	if f.lost {
		l.owed--
	}
	l.flights = append(l.flights, f)
	l.InFlight += p.Len
	l.Sent += uint64(p.Len)
	l.byFlow[p.Flow] += p.Len
	l.refresh()
}

// acknowledge takes in what is known by now, and returns when more will be.
func (w *world) acknowledge() core.Time {
	next := core.Never
	for _, l := range w.links {
		for len(l.flights) > 0 {
			f := l.flights[0]
			at := f.arrives.Add(l.delay)
			if at > w.now {
				next = min(next, at)
				break
			}
			l.flights = l.flights[1:]
			l.InFlight -= f.size
			l.SRTT += (at.Sub(f.sent) - l.SRTT) / 16
			if f.lost || l.gone {
				l.Lost += uint64(f.size)
				continue
			}
			l.Acked += uint64(f.size)
			w.arrived++
			w.lastAt = max(w.lastAt, f.arrives)
		}
	}
	return next
}

// shares runs for d and returns what part of the bytes each link carried.
func (w *world) shares(d time.Duration) []float64 {
	before := make([]uint64, len(w.links))
	for i, l := range w.links {
		before[i] = l.Sent
	}
	w.run(d)
	parts := make([]float64, len(w.links))
	sum := 0.0
	for i, l := range w.links {
		parts[i] = float64(l.Sent - before[i])
		sum += parts[i]
	}
	for i := range parts {
		parts[i] /= max(1, sum)
	}
	return parts
}
