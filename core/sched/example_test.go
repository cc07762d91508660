package sched

import (
	"fmt"

	"github.com/multilink-vpn/multilink/core"
)

// roundRobin takes the open links in turn, packet by packet.
type roundRobin struct{ last core.LinkID }

func (*roundRobin) Name() string { return "round-robin" }

func (s *roundRobin) Pick(v *View) (Choice, core.Time, bool) {
	var first, next *Link // of all, and behind the last one
	wake := core.Never
	candidates(v.Links, func(l *Link) {
		switch {
		case !l.Open:
			wake = min(wake, l.OpensAt)
		case next == nil && l.ID > s.last:
			next = l
		case first == nil:
			first = l
		}
	})
	if next == nil {
		next = first
	}
	if next == nil {
		return Choice{}, wake, false
	}
	s.last = next.ID
	return Choice{Count: 1, Links: Of(next.ID)}, 0, true
}

func (*roundRobin) Sent(core.Time, core.LinkID, int) {}

// A scheduler of one's own is a type and a line in the table.
func Example() {
	table["round-robin"] = func() Scheduler { return &roundRobin{} }
	defer delete(table, "round-robin")

	s, _ := New("round-robin")
	v := &View{
		Links: []Link{{ID: 0, Open: true}, {ID: 1, Open: true}, {ID: 2}, {ID: 3, Open: true}},
		Queue: packets{{Len: 1400}},
	}
	for range 5 {
		c, _, _ := s.Pick(v)
		for id := range core.LinkID(core.MaxLinks) {
			if c.Links.Has(id) {
				fmt.Println("link", id)
			}
		}
	}
	// Output:
	// link 1
	// link 3
	// link 0
	// link 1
	// link 3
}
