package traffic

import (
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
	} {
		var o order
		for _, n := range c.numbers {
			o.arrive(n)
		}
		if o.received != c.received || o.reordered != c.reordered {
			t.Errorf("%s: received %d, reordered %d; want %d, %d", c.name, o.received, o.reordered, c.received, c.reordered)
		}
	}
}

func TestTCPOrder(t *testing.T) {
	at := func(seq uint32, stamp uint32) segment {
		return segment{seq: seq, payload: 100, packets: 1, stamped: true, stamp: stamp}
	}
	plain := func(seq uint32) segment { return segment{seq: seq, payload: 100, packets: 1} }
	syn := segment{seq: 999, syn: true}
	for _, c := range []struct {
		name                string
		segments            []segment
		received, reordered int
	}{
		{"in order", []segment{syn, at(1000, 1), at(1100, 1), at(1200, 2)}, 3, 0},
		{"late by the network", []segment{syn, at(1000, 1), at(1200, 1), at(1100, 1)}, 3, 1},
		{"late by the network, sent earlier", []segment{syn, at(1000, 1), at(1200, 5), at(1100, 4)}, 3, 1},
		{"retransmitted", []segment{syn, at(1000, 1), at(1200, 1), at(1300, 2), at(1100, 9)}, 4, 0},
		{"first one late", []segment{syn, at(1100, 1), at(1000, 1)}, 2, 1},
		{"spurious retransmission", []segment{syn, at(1000, 1), at(1100, 1), at(1000, 7)}, 2, 0},
		{"late twice", []segment{syn, at(1000, 1), at(1200, 1), at(1100, 1), at(1100, 9)}, 3, 1},
		{"no timestamps", []segment{plain(1000), plain(1200), plain(1100)}, 3, 1},
		{"two into one gap", []segment{syn, at(1300, 1), at(1200, 1), at(1000, 1), at(1100, 1)}, 4, 3},
		{"acknowledgements", []segment{syn, {seq: 1000, packets: 1}, at(1000, 1), {seq: 1100, packets: 1}}, 1, 0},
		{"super-packet late", []segment{syn, at(1300, 1), {seq: 1000, payload: 300, packets: 3, stamped: true, stamp: 1}}, 4, 3},
		{"old and new data in one", []segment{syn, at(1000, 1), {seq: 1050, payload: 100, packets: 1}, at(1150, 1)}, 3, 0},
		{"numbers wrap", []segment{plain(0xffffff9c), plain(100), plain(0)}, 3, 1},
	} {
		var o tcpOrder
		for _, s := range c.segments {
			o.arrive(s)
		}
		if o.received != c.received || o.reordered != c.reordered {
			t.Errorf("%s: received %d, reordered %d; want %d, %d", c.name, o.received, o.reordered, c.received, c.reordered)
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
		var byNumber order
		var bySequence tcpOrder
		bySequence.arrive(segment{seq: origin - 1, syn: true})
		for _, i := range arrival {
			byNumber.arrive(uint64(i))
			bySequence.arrive(segment{seq: origin + uint32(i)*10, payload: 10, packets: 1, stamped: true, stamp: uint32(i)})
		}
		if byNumber.reordered != bySequence.reordered || byNumber.received != bySequence.received {
			t.Fatalf("by number %d of %d, by sequence %d of %d",
				byNumber.reordered, byNumber.received, bySequence.reordered, bySequence.received)
		}
	})
}

func TestGapsAreBounded(t *testing.T) {
	var o tcpOrder
	for i := range uint32(10 * maxGaps) {
		o.arrive(segment{seq: i * 20, payload: 10, packets: 1})
	}
	if len(o.gaps) > maxGaps {
		t.Errorf("%d gaps are remembered", len(o.gaps))
	}
}
