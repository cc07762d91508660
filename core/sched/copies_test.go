package sched

import (
	"testing"
	"time"
)

// jittery is a link whose delay varies.
func jittery(l Link, jitter time.Duration) Link {
	l.Jitter = jitter
	return l
}

func TestCopies(t *testing.T) {
	near, next := jittery(open(0, 20*ms, 6e6), 8*ms), jittery(open(1, 30*ms, 6e6), 8*ms)
	for _, c := range []struct {
		about  string
		links  []Link
		sparse bool
		want   Set
	}{
		{"on both", []Link{near, next}, true, Of(0, 1)},
		{"the other's window is closed", []Link{near, closed(next, 9)}, true, Of(0, 1)},
		{"the first one's window is closed", []Link{closed(near, 9), jittery(open(1, 20*ms, 6e6), 8*ms)}, true, Of(0, 1)},
		{"the next of three", []Link{near, jittery(open(1, 50*ms, 6e6), 8*ms), jittery(open(2, 30*ms, 6e6), 8*ms)}, true, Of(0, 2)},
		{"bulk", []Link{near, next}, false, Of(0)},
		{"steady", []Link{jittery(near, ms), next}, true, Of(0)},
		{"far later", []Link{near, jittery(open(1, 90*ms, 6e6), 8*ms)}, true, Of(0)},
		{"a backup", []Link{near, backup(next)}, true, Of(0)},
		{"silent", []Link{near, suspect(next)}, true, Of(0)},
		{"not known", []Link{near, {ID: 1, Delay: 30 * ms}}, true, Of(0)},
		{"alone", []Link{near}, true, Of(0)},
	} {
		s, _ := New("earliest")
		v := &View{Now: 1, Links: c.links, Queue: &backlog{n: 1, size: 100, sparse: c.sparse}, Flows: 1}
		got, _, ok := s.Pick(v)
		if want := (Choice{Count: 1, Links: c.want}); !ok || got.Links != want.Links || got.From != 0 || got.Count < 1 {
			t.Errorf("%s: %+v %v, want %+v", c.about, got, ok, want)
		}
	}
}

// TestCopiesAreBounded: copies take their share of the other link's rate and
// no more, whatever is offered.
func TestCopiesAreBounded(t *testing.T) {
	s, _ := New("earliest")
	const rate = 6e6
	v := &View{
		Links: []Link{jittery(open(0, 20*ms, rate), 8*ms), jittery(open(1, 30*ms, rate), 8*ms)},
		Queue: &backlog{n: 1, size: 1000, sparse: true}, Flows: 1,
	}
	copied := 0
	for i := range 10_000 {
		v.Now = v.Now.Add(ms)
		c, _, ok := s.Pick(v)
		if !ok || !c.Links.Has(0) {
			t.Fatalf("packet %d: %+v %v", i, c, ok)
		}
		if c.Links.Has(1) {
			copied += 1000
		}
	}
	want := copyShare * rate * 10
	if float64(copied) < 0.95*want || float64(copied) > 1.05*want {
		t.Errorf("%d bytes in copies, want about %.0f", copied, want)
	}
}
