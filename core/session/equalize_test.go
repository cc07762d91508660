package session

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/sched"
)

// play gives a flow ticks and returns in which of them it was held.
func play(ticks int, next func(i int, f *bulkFlow, t *tick)) (held []int) {
	f := bulkFlow{bucket: 1}
	for i := range ticks {
		t := tick{past: equalizeTick, span: 100 * time.Millisecond, full: true, room: true}
		f.bytes = 600_000
		next(i, &f, &t)
		t.total += float64(f.bytes)
		f.tick(core.Time(i)*core.Time(equalizeTick), &t)
		if f.held {
			held = append(held, i)
		}
	}
	return held
}

// TestEqualizeAuto: which flows are held, from when and until when.
func TestEqualizeAuto(t *testing.T) {
	const second = int(time.Second / equalizeTick)
	after := int(equalizeAfter / equalizeTick)
	// bbr pauses every ten seconds for 200 ms.
	bbr := func(i int, f *bulkFlow) bool {
		if i%(10*second) >= 10*second-2 {
			f.bytes = 5000
			return true
		}
		return false
	}
	for _, c := range []struct {
		about       string
		ticks       int
		next        func(i int, f *bulkFlow, t *tick)
		first, last int // tick; -1: never
	}{
		{"a sender that pauses when it should and gains", 300, func(i int, f *bulkFlow, t *tick) {
			if !bbr(i, f) && i > 21*second {
				f.bytes = 1_200_000
			}
		}, 10*second + after - 1, 299},
		{"one that pauses once is let go", 300, func(i int, f *bulkFlow, t *tick) {
			if i < 11*second {
				bbr(i, f)
			}
		}, 10*second + after - 1, 10*second + after - 1 + int(equalizePause/equalizeTick)},
		{"one that gains nothing is let go", 400, func(i int, f *bulkFlow, t *tick) { bbr(i, f) },
			10*second + after - 1, 10*second + after - 1 + int(equalizeTrial/equalizeTick)},
		{"one that comes to a fraction of its rate", 300, func(i int, f *bulkFlow, t *tick) {
			if !bbr(i, f) && i > 10*second+after+2 {
				f.bytes = 150_000
			}
		}, 10*second + after - 1, 10*second + after - 1 + int(equalizeBack/equalizeTick)},
		{"one that does not pause", 300, func(int, *bulkFlow, *tick) {}, -1, -1},
		{"the first link is not used up", 300, func(i int, f *bulkFlow, t *tick) { t.full = false }, -1, -1},
		{"no link has room", 300, func(i int, f *bulkFlow, t *tick) { t.room = false }, -1, -1},
		{"the links do not differ", 300, func(i int, f *bulkFlow, t *tick) { t.span = time.Millisecond }, -1, -1},
		{"a sparse flow beside others", 300, func(i int, f *bulkFlow, t *tick) { f.bytes, t.total = 1000, 600_000 }, -1, -1},
		{"one that stops and goes", 300, func(i int, f *bulkFlow, t *tick) {
			if i%second == 0 {
				f.bytes = 0
			}
		}, -1, -1},
	} {
		held := play(c.ticks, c.next)
		first, last := -1, -1
		if len(held) > 0 {
			first, last = held[0], held[len(held)-1]
		}
		if first != c.first || last != c.last {
			t.Errorf("%s: held from tick %d to %d, want %d to %d", c.about, first, last, c.first, c.last)
		}
	}
}

// TestEqualizeLevel: how long packets wait on each link.
func TestEqualizeLevel(t *testing.T) {
	const ms = time.Millisecond
	l := func(id core.LinkID, base time.Duration) sched.Link {
		return sched.Link{ID: id, Base: base, Rate: 1e6, InFlight: 9000, Window: 10000}
	}
	for _, c := range []struct {
		about  string
		change func(l []sched.Link)
		want   [3]time.Duration
	}{
		{"plain", func([]sched.Link) {}, [3]time.Duration{90 * ms, 60 * ms, 0}},
		{"clocks differ", func(l []sched.Link) {
			for i := range l {
				l[i].Base -= time.Hour
			}
		}, [3]time.Duration{90 * ms, 60 * ms, 0}},
		{"the last is silent", func(l []sched.Link) { l[2].Suspect = true }, [3]time.Duration{30 * ms, 0, -1}},
		{"the last is a backup", func(l []sched.Link) { l[2].Backup = true }, [3]time.Duration{30 * ms, 0, -1}},
		{"the last is too late", func(l []sched.Link) { l[2].Base += time.Second }, [3]time.Duration{30 * ms, 0, -1}},
		{"the last is too slow", func(l []sched.Link) { l[2].Rate = 1e4 }, [3]time.Duration{30 * ms, 0, -1}},
		{"the last is of unknown rate", func(l []sched.Link) { l[2].Rate, l[2].InFlight = 1e4, 0 }, [3]time.Duration{90 * ms, 60 * ms, 0}},
		{"all are silent", func(l []sched.Link) { l[0].Suspect, l[1].Suspect, l[2].Suspect = true, true, true }, [3]time.Duration{}},
	} {
		v := sched.View{Links: []sched.Link{l(0, 10*ms), l(1, 40*ms), l(2, 100*ms)}}
		c.change(v.Links)
		var q equalizer
		q.level(&v)
		if got := [3]time.Duration(q.holds[:3]); got != c.want {
			t.Errorf("%s: holds %v, want %v", c.about, got, c.want)
		}
	}
}

// TestEqualizeBound: more flows than are looked at do no harm.
func TestEqualizeBound(t *testing.T) {
	var q equalizer
	for i := range 3 * equalizeFlows {
		q.note(uint8(1+i), 1000)
	}
	if q.flows[0].bucket == 0 || q.held() != 0 {
		t.Errorf("flows %+v", q.flows)
	}
	for i := range q.flows {
		q.flows[i].tick(1, &tick{past: equalizeTick})
	}
	for i := range q.flows {
		q.flows[i].usual, q.flows[i].bytes = 0, 0
	}
	q.note(200, 1000)
	found := false
	for i := range q.flows {
		found = found || q.flows[i].bucket == 200
	}
	if !found {
		t.Error("a flow that ended keeps its place")
	}
}
