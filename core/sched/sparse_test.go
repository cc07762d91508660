package sched

import (
	"testing"

	"github.com/multilink-vpn/multilink/core"
)

// TestEarliestSparse: a sparse flow's packet takes the link that delivers first,
// past its window or pacer where it may.
func TestEarliestSparse(t *testing.T) {
	fast, slow := open(0, 10*ms, 1e5), open(1, 15*ms, 1e5) // apart by less than aheadSlack
	passable := closed(fast, 5)
	passable.Passable = true
	for _, c := range []struct {
		about   string
		links   []Link
		bulk    bool
		carried map[core.LinkID]uint16
		want    core.LinkID
	}{
		{"the first that is open", []Link{fast, slow}, false, nil, 0},
		{"past the window of the first", []Link{passable, slow}, false, nil, 0},
		{"the next where the first lets nothing pass", []Link{closed(fast, 5), slow}, false, nil, 1},
		{"not before a later packet of its bucket", []Link{passable, slow}, false, map[core.LinkID]uint16{0: 5}, 1},
		{"a bulk flow passes no window", []Link{passable, slow}, true, nil, 1},
	} {
		v := &View{
			Now: 1, Links: c.links, Queue: &backlog{n: 1, size: 100, carried: c.carried},
			Flows: 2, Backlog: 1 << 20, Budget: 1 << 20, Sparse: !c.bulk,
		}
		got, _, ok := (&earliest{}).Pick(v)
		if want := (Choice{Count: 1, Links: Of(c.want)}); !ok || got != want {
			t.Errorf("%s: %+v (%v), want %+v", c.about, got, ok, want)
		}
	}
}
