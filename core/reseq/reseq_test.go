package reseq

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// sink notes the sequences of what is delivered.
type sink struct{ got []uint32 }

func (s *sink) Deliver(p core.Packet, held *packet.Packet) {
	s.got = append(s.got, binary.BigEndian.Uint32(p.Data))
	if held != nil {
		held.Release()
	}
}

func arrival(seq uint32, flags wire.Flags) *Arrival {
	return &Arrival{
		Header: wire.PacketHeader{Sequence: seq, Bucket: 1, BucketSequence: uint16(seq), Flags: flags},
		Packet: core.Packet{Data: binary.BigEndian.AppendUint32(nil, seq)},
	}
}

func newEnv() *Env {
	return &Env{Now: 1e9, Spread: 30 * time.Millisecond, Pool: packet.NewPool(20000)}
}

func TestUnknownName(t *testing.T) {
	if _, err := New("nonsense"); err == nil || err.Error() != `unknown resequencer "nonsense": one of flow, global, none, tcp` {
		t.Errorf("error %v", err)
	}
}

func TestGlobal(t *testing.T) {
	for _, c := range []struct {
		name  string
		first uint32
		push  []uint32
		want  []uint32 // before the timeout
		later []uint32 // after it
	}{
		{"in order", 0, []uint32{0, 1, 2}, []uint32{0, 1, 2}, nil},
		{"swapped", 0, []uint32{0, 2, 1, 3}, []uint32{0, 1, 2, 3}, nil},
		{"gap", 0, []uint32{0, 2, 3}, []uint32{0}, []uint32{2, 3}},
		{"two gaps", 0, []uint32{0, 2, 4}, []uint32{0}, []uint32{2, 4}},
		{"late after the first", 5, []uint32{5, 4, 6}, []uint32{5, 4, 6}, nil},
		{"wrap", 0xfffffffe, []uint32{0xfffffffe, 0, 0xffffffff, 1}, []uint32{0xfffffffe, 0xffffffff, 0, 1}, nil},
		{"jump", 0, []uint32{0, 1 << 20, 1<<20 + 1}, []uint32{0, 1 << 20, 1<<20 + 1}, nil},
	} {
		g, e, out := newGlobal(), newEnv(), &sink{}
		for _, seq := range c.push {
			g.Push(e, arrival(seq, 0), out)
		}
		if !slices.Equal(out.got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, out.got, c.want)
		}
		out.got = nil
		for g.NextTimeout() != core.Never {
			e.Now = g.NextTimeout()
			g.HandleTimeout(e, out)
		}
		if !slices.Equal(out.got, c.later) {
			t.Errorf("%s: %v after the timeout, want %v", c.name, out.got, c.later)
		}
		if st := g.Stats(); e.Pool.Live() != 0 || st.HeldBytes != 0 || st.HeldPackets != 0 {
			t.Errorf("%s: %d packets live, stats %+v", c.name, e.Pool.Live(), st)
		}
	}
}

func TestGlobalPassesLowLatency(t *testing.T) {
	g, e, out := newGlobal(), newEnv(), &sink{}
	g.Push(e, arrival(0, 0), out)
	g.Push(e, arrival(2, wire.LowLatency), out)
	g.Push(e, arrival(3, 0), out)
	if want := []uint32{0, 2}; !slices.Equal(out.got, want) {
		t.Fatalf("%v, want %v", out.got, want)
	}
	g.Push(e, arrival(1, 0), out)
	if want := []uint32{0, 2, 1, 3}; !slices.Equal(out.got, want) {
		t.Fatalf("%v, want %v", out.got, want)
	}
}

func TestGlobalLimit(t *testing.T) {
	g, e, out := newGlobal(), newEnv(), &sink{}
	g.Push(e, arrival(0, 0), out)
	for seq := uint32(2); seq < 2+2*MaxHeld; seq++ {
		g.Push(e, arrival(seq, 0), out)
		if st := g.Stats(); st.HeldPackets > MaxHeld {
			t.Fatalf("%d packets held, at most %d", st.HeldPackets, MaxHeld)
		}
	}
	if g.Stats().Overflow == 0 {
		t.Error("no overflow counted")
	}
	g.Flush(out)
	if len(out.got) != 1+2*MaxHeld || !slices.IsSorted(out.got) {
		t.Errorf("%d packets came out, want %d in order", len(out.got), 1+2*MaxHeld)
	}
}

func TestGlobalWithoutRoomInThePool(t *testing.T) {
	g, e, out := newGlobal(), newEnv(), &sink{}
	e.Pool = packet.NewPool(2)
	for _, seq := range []uint32{0, 2, 3, 5, 6, 1} {
		g.Push(e, arrival(seq, 0), out)
	}
	g.Flush(out)
	slices.Sort(out.got)
	if want := []uint32{0, 1, 2, 3, 5, 6}; !slices.Equal(out.got, want) {
		t.Errorf("%v, want %v", out.got, want)
	}
}

// TestFlowLimit has gaps in one bucket, which holds up to MaxHeld packets, and
// in three, which want more together than the pool has. Then a gap is given up,
// and nothing is lost.
func TestFlowLimit(t *testing.T) {
	for _, test := range []struct{ buckets, pool, most int }{{1, 2 * MaxHeld, MaxHeld - 1}, {3, 2 * MaxHeld, 2 * MaxHeld}} {
		f, e, out := newFlow(), newEnv(), &sink{}
		e.Pool, e.Links = packet.NewPool(test.pool), 3 // one of which delivers: no gap is certain
		most, sent := 0, 0
		for seq := range uint32(MaxHeld + 100) {
			for bucket := range uint8(test.buckets) {
				if seq == 1 {
					continue
				}
				a := arrival(seq, 0)
				a.Header.Bucket = wire.Unordered + 1 + bucket
				f.Push(e, a, out)
				sent++
				most = max(most, f.Stats().HeldPackets)
			}
		}
		if most != test.most || f.Stats().Overflow == 0 {
			t.Errorf("%d buckets held %d packets at most, want %d; %+v", test.buckets, most, test.most, f.Stats())
		}
		f.Flush(out)
		if len(out.got) != sent || e.Pool.Live() != 0 {
			t.Errorf("%d packets came out of %d; %d are left in the pool", len(out.got), sent, e.Pool.Live())
		}
	}
}

// TestFlowKnowsLostFromLate: a gap is given up when both links have passed it,
// not before, and not while a repair may come.
func TestFlowKnowsLostFromLate(t *testing.T) {
	on := func(link core.LinkID, seq uint32) *Arrival {
		a := arrival(seq, 0)
		a.Link = link
		return a
	}
	f, e, out := newFlow(), newEnv(), &sink{}
	e.Links = 3
	for _, a := range []*Arrival{on(0, 0), on(1, 1), on(0, 3), on(0, 4)} {
		f.Push(e, a, out)
	}
	if want := []uint32{0, 1}; !slices.Equal(out.got, want) {
		t.Fatalf("%v, want %v: link 1 may still deliver 2", out.got, want)
	}
	e.OpenGaps = 1
	f.Push(e, on(1, 5), out)
	if want := []uint32{0, 1}; !slices.Equal(out.got, want) {
		t.Fatalf("%v, want %v: a repair may come", out.got, want)
	}
	e.OpenGaps = 0
	f.HandleTimeout(e, out)
	if want := []uint32{0, 1, 3, 4, 5}; !slices.Equal(out.got, want) {
		t.Fatalf("%v, want %v: 2 is lost for certain", out.got, want)
	}
	if f.NextTimeout() != core.Never || f.Stats().GapsSkipped != 1 {
		t.Errorf("deadline %d, %+v", f.NextTimeout(), f.Stats())
	}
}

func TestFlowsDoNotWaitForOneAnother(t *testing.T) {
	f, e, out := newFlow(), newEnv(), &sink{}
	e.OpenGaps = 1
	f.Push(e, arrival(0, 0), out)
	f.Push(e, arrival(2, 0), out)
	other := arrival(77, 0)
	other.Header.Bucket = 2
	f.Push(e, other, out)
	unordered := arrival(99, 0)
	unordered.Header.Bucket = wire.Unordered
	f.Push(e, unordered, out)
	if want := []uint32{0, 77, 99}; !slices.Equal(out.got, want) {
		t.Fatalf("%v, want %v", out.got, want)
	}
}

// TestEachOnceAndInOrder: whatever order packets arrive in, each that arrives
// is delivered exactly once, and in order when none had to be given up.
func TestEachOnceAndInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, _ := New(rapid.SampledFrom([]string{"global", "flow"}).Draw(t, "resequencer"))
		e, out := newEnv(), &sink{}
		start := rapid.Uint32().Draw(t, "start")
		n := rapid.IntRange(1, 200).Draw(t, "packets")
		order := make([]uint32, n)
		for i := range order {
			order[i] = start + uint32(i)
		}
		moved := order[1:] // the first to arrive sets the origin
		for range rapid.IntRange(0, 60).Draw(t, "swaps") {
			if len(moved) == 0 {
				break
			}
			i, j := rapid.IntRange(0, len(moved)-1).Draw(t, "i"), rapid.IntRange(0, len(moved)-1).Draw(t, "j")
			moved[i], moved[j] = moved[j], moved[i]
		}
		lost := map[uint32]bool{}
		for _, seq := range moved {
			if rapid.IntRange(0, 9).Draw(t, "loss") == 0 {
				lost[seq] = true
			}
		}
		for _, seq := range order {
			if lost[seq] {
				continue
			}
			r.Push(e, arrival(seq, 0), out)
			e.Now += core.Time(rapid.Int64Range(0, int64(5*time.Millisecond)).Draw(t, "pause"))
			if r.NextTimeout() <= e.Now {
				r.HandleTimeout(e, out)
			}
		}
		r.Flush(out)
		if len(out.got) != n-len(lost) {
			t.Fatalf("%d delivered, want %d", len(out.got), n-len(lost))
		}
		seen := map[uint32]bool{}
		for i, seq := range out.got {
			if seen[seq] || lost[seq] {
				t.Fatalf("%d delivered again or though lost", seq)
			}
			seen[seq] = true
			if r.Stats().Late == 0 && i > 0 && int32(seq-out.got[i-1]) < 0 {
				t.Fatalf("%d after %d without being late", seq, out.got[i-1])
			}
		}
		if e.Pool.Live() != 0 {
			t.Fatalf("%d packets live", e.Pool.Live())
		}
	})
}

func TestSeenModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Seen
		model := map[uint32]bool{}
		seq := rapid.Uint32().Draw(t, "start")
		highest := seq
		for range rapid.IntRange(1, 100).Draw(t, "n") {
			if ahead := int32(seq - highest); ahead > 0 {
				highest = seq
			}
			old := int32(highest-seq) >= seenSize
			if got, want := s.Mark(seq), !model[seq] && !old; got != want {
				t.Fatalf("Mark(%d) = %v, want %v", seq, got, want)
			}
			model[seq] = true
			seq += uint32(rapid.Int32Range(-70000, 140000).Draw(t, "step"))
			if rapid.IntRange(0, 9).Draw(t, "trim") == 0 {
				s.Trim()
			}
		}
	})
}

// TestSeenTrim fills pages, gives them back, and asks for every sequence.
func TestSeenTrim(t *testing.T) {
	const first, missing, last = 5*pageSize - 10, 7*pageSize + 3, 9*pageSize + 100
	var s Seen
	for seq := uint32(first); seq <= last; seq++ {
		if seq != missing {
			s.Mark(seq)
		}
	}
	s.Trim()
	own := 0
	for _, p := range s.pages {
		if p != nil && p != complete {
			own++
		}
	}
	if own != 3 { // the first, that with the gap, and the last
		t.Errorf("%d pages are left", own)
	}
	for seq := uint32(first); seq <= last; seq++ {
		if got, want := s.Has(seq), seq != missing; got != want {
			t.Fatalf("Has(%d) = %v, want %v", seq, got, want)
		}
	}
	if !s.Mark(missing) || s.Mark(missing) {
		t.Error("the one that was missing is not new once")
	}
	for seq := uint32(last + 1); seq <= last+2*seenSize; seq++ { // over complete pages
		if !s.Mark(seq) {
			t.Fatalf("%d is not new", seq)
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	var s Seen
	b.ReportAllocs()
	for seq := uint32(0); b.Loop(); seq++ {
		if !s.Mark(seq) {
			b.Fatal("not new")
		}
	}
}

// TestHoldWaitsForOutage: while a link may have gone, a gap waits until the
// sender can have noticed and repaired it.
func TestHoldWaitsForOutage(t *testing.T) {
	wait := func(outage time.Duration) time.Duration {
		f, e, out := newFlow(), newEnv(), &sink{}
		e.Links, e.Repair, e.Outage = 1|2, 20*time.Millisecond, outage
		for _, seq := range []uint32{0, 2} {
			f.Push(e, arrival(seq, 0), out)
		}
		return f.NextTimeout().Sub(e.Now)
	}
	if got, want := wait(60*time.Millisecond)-wait(0), 60*time.Millisecond; got != want {
		t.Errorf("%v longer, want %v", got, want)
	}
	if got := wait(time.Hour); got != MaxHold {
		t.Errorf("waits %v, at most %v", got, MaxHold)
	}
}
