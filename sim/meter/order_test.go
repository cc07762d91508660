package meter

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name                string
		numbers             []uint64
		received, reordered int
	}{
		{"in order", []uint64{0, 1, 2, 3}, 4, 0},
		{"lost", []uint64{0, 3, 4}, 3, 0},
		{"one late", []uint64{0, 2, 3, 1}, 4, 1},
		{"one early", []uint64{3, 0, 1, 2}, 4, 3},
		{"duplicates", []uint64{0, 1, 1, 0, 2}, 3, 0},
		{"far apart", []uint64{0, 70, 69, 69}, 3, 1},
	} {
		var o Order
		fresh := 0
		for _, n := range c.numbers {
			if o.Arrive(n) {
				fresh++
			}
		}
		if o.Received != c.received || o.Reordered != c.reordered || fresh != c.received {
			t.Errorf("%s: received %d, reordered %d, %d told as new; want %d, %d",
				c.name, o.Received, o.Reordered, fresh, c.received, c.reordered)
		}
	}
}

func TestTCPOrder(t *testing.T) {
	at := func(seq uint32, stamp uint32) Segment {
		return Segment{Sequence: seq, Payload: 100, Packets: 1, Stamped: true, Stamp: stamp}
	}
	plain := func(seq uint32) Segment { return Segment{Sequence: seq, Payload: 100, Packets: 1} }
	syn := Segment{Sequence: 999, SYN: true}
	for _, c := range []struct {
		name                            string
		segments                        []Segment
		received, reordered, duplicates int
	}{
		{"in order", []Segment{syn, at(1000, 1), at(1100, 1), at(1200, 2)}, 3, 0, 0},
		{"late by the network", []Segment{syn, at(1000, 1), at(1200, 1), at(1100, 1)}, 3, 1, 0},
		{"late by the network, sent earlier", []Segment{syn, at(1000, 1), at(1200, 5), at(1100, 4)}, 3, 1, 0},
		{"retransmitted", []Segment{syn, at(1000, 1), at(1200, 1), at(1300, 2), at(1100, 9)}, 4, 0, 0},
		{"first one late", []Segment{syn, at(1100, 1), at(1000, 1)}, 2, 1, 0},
		{"spurious retransmission", []Segment{syn, at(1000, 1), at(1100, 1), at(1000, 7)}, 2, 0, 1},
		{"late twice", []Segment{syn, at(1000, 1), at(1200, 1), at(1100, 1), at(1100, 9)}, 3, 1, 1},
		{"no timestamps", []Segment{plain(1000), plain(1200), plain(1100)}, 3, 1, 0},
		{"two into one gap", []Segment{syn, at(1300, 1), at(1200, 1), at(1000, 1), at(1100, 1)}, 4, 3, 0},
		{"acknowledgements", []Segment{syn, {Sequence: 1000, Packets: 1}, at(1000, 1), {Sequence: 1100, Packets: 1}}, 1, 0, 0},
		{"super-packet late", []Segment{syn, at(1300, 1), {Sequence: 1000, Payload: 300, Packets: 3, Stamped: true, Stamp: 1}}, 4, 3, 0},
		{"old and new data in one", []Segment{syn, at(1000, 1), {Sequence: 1050, Payload: 100, Packets: 1}, at(1150, 1)}, 3, 0, 0},
		{"super-packet again", []Segment{syn, at(1000, 1), at(1100, 1), at(1200, 1), {Sequence: 1000, Payload: 300, Packets: 3}}, 3, 0, 3},
		{"no SYN seen", []Segment{at(1000, 1), at(1200, 1), at(1100, 9)}, 3, 0, 0},
		{"pieces of one gap", []Segment{at(1000, 1), at(1400, 1), at(1200, 1), at(1100, 1)}, 4, 2, 0},
		{"numbers wrap", []Segment{plain(0xffffff9c), plain(100), plain(0)}, 3, 1, 0},
	} {
		var o TCPOrder
		for _, s := range c.segments {
			o.Arrive(s)
		}
		if o.Received != c.received || o.Reordered != c.reordered || o.Duplicates != c.duplicates {
			t.Errorf("%s: received %d, reordered %d, duplicates %d; want %d, %d, %d", c.name,
				o.Received, o.Reordered, o.Duplicates, c.received, c.reordered, c.duplicates)
		}
	}
}

// A permutation of segments that all were sent once gives the same count by
// their own numbers and by sequence numbers.
func TestOrdersAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "packets")
		arrival := rapid.Permutation(func() []int {
			numbers := make([]int, n)
			for i := range numbers {
				numbers[i] = i
			}
			return numbers
		}()).Draw(t, "arrival")
		origin := rapid.Uint32().Draw(t, "initial sequence number")
		var byNumber Order
		var bySequence TCPOrder
		bySequence.Arrive(Segment{Sequence: origin - 1, SYN: true})
		for _, i := range arrival {
			byNumber.Arrive(uint64(i))
			bySequence.Arrive(Segment{Sequence: origin + uint32(i)*10, Payload: 10, Packets: 1, Stamped: true, Stamp: uint32(i)})
		}
		if byNumber.Reordered != bySequence.Reordered || byNumber.Received != bySequence.Received {
			t.Fatalf("by number %d of %d, by sequence %d of %d",
				byNumber.Reordered, byNumber.Received, bySequence.Reordered, bySequence.Received)
		}
	})
}

func TestGapsAreBounded(t *testing.T) {
	var o TCPOrder
	for i := range uint32(10 * maxGaps) {
		o.Arrive(Segment{Sequence: i * 20, Payload: 10, Packets: 1})
	}
	if len(o.gaps) > maxGaps {
		t.Errorf("%d gaps are remembered", len(o.gaps))
	}
}

func TestFlowsAreBounded(t *testing.T) {
	var f Flows
	at := func(port, sequence int) {
		f.Arrive(Flow{Source: netip.AddrPortFrom(netip.Addr{}, uint16(port))},
			Segment{Sequence: uint32(sequence), Payload: 10, Packets: 1})
	}
	for port := range 2 * MaxFlows {
		at(port, 0)
		at(port, 20)
		at(port, 10)
		at(port, 10)
	}
	if len(f.orders) > MaxFlows {
		t.Errorf("%d connections are followed", len(f.orders))
	}
	if got := f.Reordered(); got != 1.0/3 {
		t.Errorf("share of reordered packets %v, want a third", got)
	}
	if got := f.Duplicates(); got != 1.0/4 {
		t.Errorf("share of duplicates %v, want a quarter", got)
	}
}
