package link

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// search runs the search over a path that carries carried bytes and loses a
// probe for another reason where lost says so, as a share loss of all does. Every
// probe that is lost is proven to be. It returns the probes sent.
func search(m *pathMTU, carried int, loss float64, lost func() bool) int {
	now, number := max(1, m.next), uint64(0)
	for number < 200 {
		size, ok := m.probe(now, number)
		if !ok {
			break
		}
		if size <= carried && !lost() {
			m.answered(now, number)
		} else {
			m.unanswered(now, number, true, loss)
		}
		number++
	}
	return int(number)
}

func never() bool { return false }

// TestPathMTUIsFound: whatever the path carries, the search ends within a few
// probes at a size that passes and is no more than the grain below the largest.
func TestPathMTUIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		need := rapid.IntRange(1300, 1500).Draw(t, "need")
		carried := rapid.IntRange(BaseMTU, 1600).Draw(t, "carried")
		var m pathMTU
		m.begin(1, need, BaseMTU)
		probes := search(&m, carried, 0, never)
		want := min(need, carried)
		if m.size > want || m.size < want-mtuGrain {
			t.Fatalf("found %d on a path that carries %d, of use up to %d", m.size, carried, need)
		}
		if m.small != (m.size < need) {
			t.Errorf("small %v at %d of %d", m.small, m.size, need)
		}
		if probes > 60 {
			t.Errorf("%d probes", probes)
		}
	})
}

// TestPathMTUSurvivesLoss: as long as one of the tries comes through, the size
// counts; on a link that loses much there are more of them.
func TestPathMTUSurvivesLoss(t *testing.T) {
	for _, c := range []struct {
		loss  float64
		tries int // before one comes through
	}{{0, mtuTries - 1}, {0.05, mtuTries - 1}, {0.2, 8}, {0.5, 19}, {0.9, 19}} {
		var m pathMTU
		m.begin(1, 1476, BaseMTU)
		n := 0
		search(&m, 1500, c.loss, func() bool { n++; return n <= c.tries })
		if m.size != 1476 {
			t.Errorf("loss %v: found %d", c.loss, m.size)
		}
		m.begin(1, 1476, BaseMTU)
		if search(&m, 1400, c.loss, never); m.size != 1400 {
			t.Errorf("loss %v: found %d of 1400", c.loss, m.size)
		}
	}
}

func TestPathMTUUnprovenLossSaysNothing(t *testing.T) {
	var m pathMTU
	m.begin(1, 1476, BaseMTU)
	now := core.Time(1)
	for number := range uint64(100) {
		if _, ok := m.probe(now, number); !ok {
			t.Fatalf("nothing to probe after %d probes", number)
		}
		m.unanswered(now, number, false, 0)
		now = max(now, m.due())
	}
	if m.small || m.failed <= 1476 {
		t.Errorf("1476 is held not to pass")
	}
	if now.Sub(1) < 30*time.Second {
		t.Errorf("100 probes without an answer in %v", now.Sub(1))
	}
}

func TestPathMTUIsRaisedLater(t *testing.T) {
	var m pathMTU
	m.begin(1, 1476, BaseMTU)
	search(&m, 1400, 0, never)
	due := m.due()
	if d := due.Sub(1); d != mtuRaise {
		t.Fatalf("next probe after %v", d)
	}
	if _, ok := m.probe(due, 1000); !ok || !m.small {
		t.Errorf("probe %v, small %v", ok, m.small)
	}
	m.answered(due, 1000)
	if m.size != 1476 || m.small || m.due() != core.Never {
		t.Errorf("size %d, small %v, due %v", m.size, m.small, m.due())
	}
}

// acknowledge reports the arrival of one number.
func acknowledge(s *Sender, now core.Time, number uint64) {
	s.Acked(now, &wire.Ack{
		Ranges:   []wire.Range{{First: number, Last: number}},
		Arrivals: []wire.Arrival{{Number: number, At: now}},
	}, nil)
}

func TestBlackHole(t *testing.T) {
	const big, small = 1468, 61
	many := func(n, size int) []int { return slices.Repeat([]int{size}, n) }
	for _, c := range []struct {
		name  string
		sizes [][]int // of two flights
		came  []int   // index of what comes of each
		base  int     // MTU before
		want  int     // and after
	}{
		{"big ones vanish around a small one", [][]int{append(many(6, big), small), append(many(2, big), small)}, []int{6, 2}, 1476, BaseMTU},
		{"the base does not pass either", [][]int{append(many(6, 1270), small), append(many(2, 1270), small)}, []int{6, 2}, BaseMTU, FloorMTU},
		{"too few", [][]int{append(many(4, big), small), append(many(2, big), small)}, []int{4, 2}, 1476, 1476},
		{"an outage, then all is well", [][]int{append(many(9, big), small), append(many(2, big), small)}, []int{9, 1}, 1476, 1476},
		{"small ones vanish too", [][]int{append(many(9, 700), small), append(many(2, 700), small)}, []int{9, 2}, 1476, 1476},
	} {
		s := NewSender(true)
		s.SearchMTU(1, 1476)
		s.mtu.size = c.base
		now, first := core.Time(1), 0
		for i, flight := range c.sizes {
			for _, n := range flight {
				s.Sent(now, n, true, nil, wire.Whole)
			}
			now = now.Add(20 * time.Millisecond)
			acknowledge(s, now, uint64(first+c.came[i]))
			s.HandleTimeout(now.Add(time.Second), nil)
			first += len(flight)
		}
		size, small := s.MTU()
		if holes := s.Stats().BlackHoles; size != c.want || holes > 0 || small {
			t.Errorf("%s: MTU %d, small %v, %d black holes; want %d", c.name, size, small, holes, c.want)
		}
		if c.want == c.base {
			continue
		}
		// Probes say whether it was one.
		chance, certain := s.mtu, s.mtu
		certain.targets = slices.Clone(certain.targets)
		search(&chance, 1476, 0, never)
		search(&certain, c.want, 0, never)
		if chance.size != 1476 || chance.small || chance.holes > 0 {
			t.Errorf("%s, by chance: %+v", c.name, chance)
		}
		if certain.size != c.want || !certain.small || certain.holes != 1 {
			t.Errorf("%s, for certain: %+v", c.name, certain)
		}
	}
}

// TestMTUProbesCountForNothing: neither a probe nor its loss touches what the
// rate control believes (RFC 8899 section 3, item 7).
func TestMTUProbesCountForNothing(t *testing.T) {
	s := NewSender(true)
	s.SearchMTU(1, 1476)
	if size, ok := s.MTUProbe(1); !ok || size != 1476 {
		t.Fatalf("probe of %d, %v", size, ok)
	}
	if s.InFlight() || s.Silence(core.Time(time.Hour)) != 0 {
		t.Error("a probe is in flight or owed an answer")
	}
	s.Sent(1, 61, true, nil, wire.Whole)
	acknowledge(s, core.Time(20*time.Millisecond), 1)
	s.HandleTimeout(core.Time(time.Minute), nil)
	if st := s.Stats(); st.Lost != 0 || st.MTUProbes != 1 || s.loss != 0 {
		t.Errorf("%+v, loss %v", st, s.loss)
	}
}
