package reseq

import (
	"slices"
	"testing"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// numbered is a TCP packet of bucket 1 that is the seq-th of its flow.
func numbered(link core.LinkID, seq uint32, size int, flags byte) *Arrival {
	p := tcpPacket{number: seq, port: 1, seq: 1000 + seq, size: size, flags: flags}
	return &Arrival{
		Link:   link,
		Header: wire.PacketHeader{Sequence: seq, Bucket: 1, BucketSequence: uint16(seq)},
		Packet: core.Packet{Data: p.bytes()},
	}
}

func TestFlowHoldsNoPureAcknowledgement(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		flags byte
		held  bool
	}{
		{"acknowledgement", 0, flagACK, false},
		{"data", 100, flagACK, true},
		{"FIN", 0, flagACK | flagFIN, true},
		{"SYN", 0, flagACK | flagSYN, true},
		{"RST", 0, flagRST, true},
	} {
		f, e, out := newFlow(), newEnv(), &tcpSink{}
		e.Links, e.OpenGaps = 3, 1
		f.Push(e, numbered(0, 0, 0, flagACK), out)
		f.Push(e, numbered(0, 2, c.size, c.flags), out)
		if held := len(out.got) == 1; held != c.held {
			t.Errorf("%s: held %v, want %v", c.name, held, c.held)
		}
		f.Push(e, numbered(1, 1, 0, flagACK), out)
		f.Push(e, numbered(1, 3, 100, flagACK), out)
		if st := f.Stats(); len(out.got) != 4 || st.HeldPackets != 0 || st.GapsSkipped != 0 || st.Late != 0 {
			t.Errorf("%s: %v delivered, %+v", c.name, out.got, st)
		}
	}
}

func TestFlowHoldsDataBehindAcknowledgements(t *testing.T) {
	f, e, out := newFlow(), newEnv(), &tcpSink{}
	e.Links, e.OpenGaps = 1, 1
	for _, a := range []*Arrival{
		numbered(0, 0, 100, flagACK), numbered(0, 2, 0, flagACK), numbered(0, 3, 100, flagACK), numbered(0, 4, 0, flagACK),
	} {
		f.Push(e, a, out)
	}
	if want := []uint32{0, 2, 4}; !slices.Equal(out.got, want) {
		t.Fatalf("%v, want %v", out.got, want)
	}
	f.Push(e, numbered(0, 1, 100, flagACK), out)
	if want := []uint32{0, 2, 4, 1, 3}; !slices.Equal(out.got, want) || f.NextTimeout() != core.Never {
		t.Fatalf("%v, want %v; deadline %d", out.got, want, f.NextTimeout())
	}
}

// Lost acknowledgements that are not repaired leave nothing behind.
func TestFlowForgetsLostAcknowledgements(t *testing.T) {
	f, e, out := newFlow(), newEnv(), &tcpSink{}
	e.Links = 1
	const n = 3 * MaxHeld
	for seq := uint32(0); seq < n; seq += 2 {
		f.Push(e, numbered(0, seq, 0, flagACK), out)
	}
	st := f.Stats()
	if len(out.got) != n/2 || st.Overflow != 0 || st.GapsSkipped != n/2-1 || f.buckets[1].next != 1<<16+n-1 {
		t.Errorf("%d delivered, next is %d, %+v", len(out.got), f.buckets[1].next, st)
	}
	if slots := len(f.buckets[1].slots); slots > 64 {
		t.Errorf("%d slots, want 64", slots)
	}

	// With a gap that a repair may close there is a limit too.
	f, e.OpenGaps = newFlow(), 1
	for seq := uint32(0); seq < n; seq += 2 {
		f.Push(e, numbered(0, seq, 0, flagACK), out)
	}
	if st, slots := f.Stats(), len(f.buckets[1].slots); slots > MaxHeld || st.Overflow == 0 || st.GapsSkipped > n/2 {
		t.Errorf("%d slots, %+v", slots, st)
	}
}
