package sched

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// backlog is a queue of equal packets of one bucket.
type backlog struct {
	n, size int
	first   uint16
	carried map[core.LinkID]uint16
}

func (b *backlog) Len() int   { return b.n }
func (b *backlog) Bytes() int { return b.n * b.size }
func (b *backlog) At(i int) Packet {
	return Packet{Len: b.size, Bucket: 1, Sequence: b.first + uint16(i)}
}
func (b *backlog) Find(offset int) int { return min(offset/b.size, b.n-1) }
func (b *backlog) LastSequence(id core.LinkID, _ uint8) (uint16, bool) {
	s, ok := b.carried[id]
	return s, ok
}

const ms = time.Millisecond

// open is a link that can send, with the given delay and rate.
func open(id core.LinkID, delay time.Duration, rate float64) Link {
	return Link{ID: id, Open: true, Known: true, SRTT: 2 * delay, MinRTT: 2 * delay, Delay: delay, Base: delay, Rate: rate}
}

func closed(l Link, opens core.Time) Link {
	l.Open, l.OpensAt = false, opens
	return l
}

func backup(l Link) Link {
	l.Backup = true
	return l
}

func suspect(l Link) Link {
	l.Suspect = true
	return l
}

func busy(l Link, inFlight int) Link {
	l.InFlight = inFlight
	return l
}

// picking is a question to a scheduler, and its answer.
type picking struct {
	scheduler string
	about     string
	links     []Link
	packets   int
	carried   map[core.LinkID]uint16
	want      Choice
	wake      core.Time
}

// The links of most questions, and the answer that nothing leaves now.
var (
	fast, slow = open(0, 10*ms, 6e6), open(1, 40*ms, 2e6)
	none       = Choice{}
)

func checkPicks(t *testing.T, questions []picking) {
	t.Helper()
	for _, c := range questions {
		s, err := New(c.scheduler)
		if err != nil {
			t.Fatal(err)
		}
		v := &View{
			Now: 1, Links: c.links, Queue: &backlog{n: c.packets, size: 1500, carried: c.carried},
			Flows: 1, Backlog: c.packets * 1500, Budget: 1 << 20,
		}
		got, wake, ok := s.Pick(v)
		if ok != (c.want.Links != 0) || ok && got != c.want || !ok && wake != c.wake {
			t.Errorf("%s, %s: %+v wake %d ok %v, want %+v wake %d", c.scheduler, c.about, got, wake, ok, c.want, c.wake)
		}
	}
}

func TestPickOfSimple(t *testing.T) {
	checkPicks(t, []picking{
		{"minrtt", "lowest round trip", []Link{slow, fast}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		{"minrtt", "the open one", []Link{closed(fast, 7), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"minrtt", "none open", []Link{closed(fast, 9), closed(slow, 8)}, 3, nil, none, 8},
		{"minrtt", "no backup while another lives", []Link{backup(fast), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"minrtt", "backup alone", []Link{backup(fast)}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		{"redundant", "all", []Link{fast, slow}, 3, nil, Choice{Count: 1, Links: Of(0, 1)}, 0},
		{"redundant", "not where the window is full", []Link{fast, closed(slow, core.Never)}, 3, nil, Choice{Count: 1, Links: Of(0)}, 0},
		{"redundant", "also where only the pacer waits", []Link{fast, closed(slow, 9)}, 3, nil, Choice{Count: 1, Links: Of(0, 1)}, 0},
		{"redundant", "none open", []Link{closed(slow, 9)}, 3, nil, none, 9},
		{"lowest-latency", "lowest delay", []Link{slow, fast}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		{"lowest-latency", "waits for it", []Link{closed(fast, 5), slow}, 3, nil, none, 5},
		{"lowest-latency", "not the silent one", []Link{suspect(fast), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"wrr", "any", []Link{fast, slow}, 3, nil, Choice{Count: 1, Links: Of(0)}, 0},
		{"wrr", "the open one", []Link{closed(fast, 5), slow}, 3, nil, Choice{Count: 1, Links: Of(1)}, 0},
	})
}

func TestPickThatWaits(t *testing.T) {
	checkPicks(t, []picking{
		{"blest", "lowest round trip", []Link{slow, fast}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		// Meanwhile the fast one could send 120 kB * 80/20.
		{"blest", "the slow one while there is room", []Link{closed(fast, 5), slow}, 3, nil, Choice{Count: 1, Links: Of(1)}, 0},
		{"blest", "waits where it would block", []Link{closed(fast, 5), busy(slow, 600_000)}, 3, nil, none, 5},
		{"blest", "does not wait for the silent one", []Link{closed(suspect(fast), 5), busy(slow, 600_000)}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"blest", "does not guess", []Link{closed(open(0, 10*ms, 0), 5), busy(slow, 600_000)}, 3, nil, Choice{Count: 1, Links: Of(1)}, 0},
		{"blest", "none open", []Link{closed(fast, 9), closed(slow, 8)}, 3, nil, none, 8},
		{"ecf", "lowest round trip", []Link{slow, fast}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		{"ecf", "little is sooner done on the fast one", []Link{closed(fast, 5), slow}, 3, nil, none, 5},
		{"ecf", "much needs both", []Link{closed(fast, 5), slow}, 500, nil, Choice{Count: 1, Links: Of(1)}, 0},
		{"ecf", "a link hardly slower", []Link{closed(fast, 5), open(1, 15*ms, 6e6)}, 3, nil, Choice{Count: 1, Links: Of(1)}, 0},
		{"ecf", "does not wait for the silent one", []Link{closed(suspect(fast), 5), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"ecf", "none open", []Link{closed(fast, 9), closed(slow, 8)}, 3, nil, none, 8},
	})
}

func TestPickOfOrders(t *testing.T) {
	checkPicks(t, []picking{
		{"active-backup", "by order, not by delay", []Link{open(0, 40*ms, 1e6), open(1, 10*ms, 6e6)}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		{"active-backup", "active before backup", []Link{backup(fast), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"active-backup", "waits for it", []Link{closed(fast, 5), slow}, 3, nil, none, 5},
		{"active-backup", "not the silent one", []Link{suspect(fast), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"active-backup", "a backup when the active one is late", []Link{open(0, 200*ms, 6e6), backup(slow)}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"active-backup", "the order where all are late", []Link{open(0, 200*ms, 6e6), open(1, 160*ms, 6e6)}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		{"active-backup", "a late one before a silent one", []Link{suspect(fast), open(1, 160*ms, 6e6)}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"flow", "a whole flow", []Link{fast, slow}, 3, nil, Choice{Count: 3, Links: Of(0)}, 0},
		{"flow", "in runs", []Link{fast, slow}, 100, nil, Choice{Count: flowRun, Links: Of(0)}, 0},
		{"flow", "waits for its link", []Link{closed(fast, 5), slow}, 3, nil, none, 5},
		{"flow", "not to the silent one", []Link{suspect(fast), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
		{"flow", "no backup while another lives", []Link{backup(fast), slow}, 3, nil, Choice{Count: 3, Links: Of(1)}, 0},
	})
}

func TestPickOfShares(t *testing.T) {
	checkPicks(t, []picking{
		{"loss-weighted", "any", []Link{fast, slow}, 3, nil, Choice{Count: 1, Links: Of(0)}, 0},
		{"loss-weighted", "the open one", []Link{closed(fast, 5), slow}, 3, nil, Choice{Count: 1, Links: Of(1)}, 0},
		{"loss-weighted", "none open", []Link{closed(fast, 9), closed(slow, 8)}, 3, nil, none, 8},
		{"byte-count", "the open one", []Link{closed(fast, 5), slow}, 3, nil, Choice{Count: 1, Links: Of(1)}, 0},
		{"byte-count", "no backup while another lives", []Link{backup(fast), slow}, 3, nil, Choice{Count: 1, Links: Of(1)}, 0},
		{"byte-count", "none open", []Link{closed(fast, 9), closed(slow, 8)}, 3, nil, none, 8},
	})
}

func TestPickEarliest(t *testing.T) {
	checkPicks(t, []picking{
		{"earliest", "the head on the fast link", []Link{fast, slow}, 500, nil, Choice{Count: 1, Links: Of(0)}, 0},
		// 30 ms later, the slow link takes what is 6e6 * 0.03 bytes deep.
		{"earliest", "deep on the slow link", []Link{closed(fast, 5), slow}, 500, nil, Choice{From: 120, Count: 1, Links: Of(1)}, 0},
		{"earliest", "too little for the slow link", []Link{closed(fast, 5), slow}, 100, nil, none, 5},
		{"earliest", "a head that only the slow link may take", []Link{closed(fast, 5), slow}, 100, map[core.LinkID]uint16{0: 5}, Choice{Count: 1, Links: Of(1)}, 0},
		{"earliest", "growing order on a link", []Link{fast, slow}, 10, map[core.LinkID]uint16{0: 3}, Choice{From: 4, Count: 1, Links: Of(0)}, 0},
		{"earliest", "a head it has overtaken, when alone", []Link{fast}, 10, map[core.LinkID]uint16{0: 3}, Choice{Count: 1, Links: Of(0)}, 0},
		{"earliest", "a head that was left for a link that fell silent", []Link{suspect(fast), slow}, 100, map[core.LinkID]uint16{1: 50}, Choice{Count: 1, Links: Of(1)}, 0},
		{"earliest", "not the silent one", []Link{suspect(fast), slow}, 500, nil, Choice{Count: 1, Links: Of(1)}, 0},
	})
}

// TestPickIsSane: whatever the links look like, a choice names packets that
// exist and links that are there, open (but for copies), and not a backup beside
// an active one.
func TestPickIsSane(t *testing.T) {
	states := []Link{
		open(0, 10*ms, 6e6), closed(open(0, 10*ms, 6e6), 50), backup(open(0, 10*ms, 6e6)),
		suspect(open(0, 10*ms, 6e6)), {ID: 0, Open: true}, open(0, -500*ms, 1e3), open(0, time.Hour, 1e9),
	}
	for _, name := range Names() {
		s, _ := New(name)
		if s.Name() != name {
			t.Errorf("%s calls itself %s", name, s.Name())
		}
		for i := range len(states) * len(states) * len(states) {
			var v View
			active := false
			for k, n := 0, i; k < 3; k++ {
				l := states[n%len(states)]
				n /= len(states)
				l.ID = core.LinkID(k)
				active = active || !l.Backup
				v.Links = append(v.Links, l)
			}
			// Its purpose is to leave an active link that does badly.
			active = active && name != "active-backup"
			v.Now, v.Queue = core.Time(1+i)*1e9, &backlog{n: 1 + i%40, size: 1400}
			c, _, ok := s.Pick(&v)
			if !ok {
				continue
			}
			if c.Links == 0 || c.Count < 1 || c.From < 0 || c.From >= v.Queue.Len() {
				t.Fatalf("%s: %+v of %d packets", name, c, v.Queue.Len())
			}
			for id := range core.LinkID(core.MaxLinks) {
				if !c.Links.Has(id) {
					continue
				}
				if int(id) >= len(v.Links) || !v.Links[id].Open && name != "redundant" || active && v.Links[id].Backup {
					t.Fatalf("%s: link %d chosen of %+v", name, id, v.Links)
				}
				s.Sent(v.Now, id, 1400)
			}
		}
	}
}

func TestWrrSharesByRate(t *testing.T) {
	s, _ := New("wrr")
	v := &View{Now: 1, Queue: &backlog{n: 100, size: 1500}}
	v.Links = []Link{open(0, 10*ms, 6e6), open(1, 10*ms, 2e6)}
	var bytes [2]int
	for range 10000 {
		c, _, _ := s.Pick(v)
		for id := range core.LinkID(2) {
			if c.Links.Has(id) {
				bytes[id] += 1500
				s.Sent(v.Now, id, 1500)
			}
		}
	}
	if ratio := float64(bytes[0]) / float64(bytes[1]); ratio < 2.9 || ratio > 3.1 {
		t.Errorf("shares %v, ratio %.2f, want 3", bytes, ratio)
	}
}

func TestLowestLatencyStaysForAWhile(t *testing.T) {
	s, _ := New("lowest-latency")
	v := &View{Now: 1, Queue: &backlog{n: 1, size: 1500}, Links: []Link{open(0, 10*ms, 1e6), open(1, 20*ms, 1e6)}}
	pick := func() Set {
		c, _, _ := s.Pick(v)
		return c.Links
	}
	first := pick()
	v.Links[0].Delay = 30 * ms
	if pick() != first {
		t.Error("changed at once")
	}
	v.Now = v.Now.Add(latencyInterval)
	if pick() != Of(1) {
		t.Error("did not change after its interval")
	}
}
