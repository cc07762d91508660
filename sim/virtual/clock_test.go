package virtual

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// mark is a timer that went off.
type mark struct {
	at   int64
	lane int
	set  uint64
}

func (m mark) compare(other mark) int {
	return cmp.Or(cmp.Compare(m.at, other.at), cmp.Compare(m.lane, other.lane), cmp.Compare(m.set, other.set))
}

func TestTimersGoOffInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{}
		lanes := []*lane{c.newLane(), c.newLane(), c.newLane()}
		var fired []mark
		var timers []*timer
		live := 0
		add := func(n int, d int64) {
			var tm *timer
			tm = lanes[n].AfterFunc(time.Duration(d), func() {
				fired = append(fired, mark{tm.at, tm.lane.id, tm.set})
			}).(*timer)
			timers = append(timers, tm)
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "do") {
			case 0, 1:
				add(rapid.IntRange(0, 2).Draw(t, "lane"), rapid.Int64Range(-2, 20).Draw(t, "delay"))
				live++
			case 2:
				if len(timers) > 0 && timers[rapid.IntRange(0, len(timers)-1).Draw(t, "stop")].Stop() {
					live--
				}
			case 3:
				if len(timers) > 0 {
					tm := timers[rapid.IntRange(0, len(timers)-1).Draw(t, "reset")]
					if tm.index < 0 {
						live++
					}
					tm.Reset(time.Duration(rapid.Int64Range(0, 20).Draw(t, "delay")))
				}
			}
		}
		for c.next() != never {
			if c.next() < c.now {
				t.Fatalf("a timer for %d is left at %d", c.next(), c.now)
			}
			c.advance(c.next())
			f, ok := c.pop()
			if !ok {
				t.Fatal("the next timer is not due at its time")
			}
			f()
		}
		if len(fired) != live {
			t.Fatalf("%d timers went off, %d were set", len(fired), live)
		}
		if !slices.IsSortedFunc(fired, mark.compare) {
			t.Fatalf("out of order: %v", fired)
		}
	})
}

func TestMonotonicTimeNeverRepeats(t *testing.T) {
	c := &clock{}
	l := c.newLane()
	last := l.NowMonotonic()
	for i := range 100 {
		c.advance(int64(i * 3))
		for range 5 {
			now := l.NowMonotonic()
			if !now.After(last) {
				t.Fatalf("%v after %v", now, last)
			}
			last = now
		}
	}
	if d := l.Now().Sub(time.Unix(wallEpoch, 0)); d != 297 {
		t.Errorf("wall time %v after the epoch", d)
	}
}

func TestStoppedTimers(t *testing.T) {
	c := &clock{}
	tm := c.newLane().AfterFunc(5, func() { t.Error("a stopped timer went off") })
	if !tm.Stop() || tm.Stop() {
		t.Error("Stop must say whether it stopped something")
	}
	c.advance(10)
	if f, ok := c.pop(); ok {
		f()
	}
}
