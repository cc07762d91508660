package queue

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

func packetOf(o *packet.Pool, size int, flow uint32) *packet.Packet {
	p := o.Get()
	p.Data = p.Data[:size]
	p.Flow = flow
	return p
}

func TestLimit(t *testing.T) {
	q, o := New(3000), packet.NewPool(100)
	for i, want := range []Verdict{Accepted, Accepted, Accepted, Full} {
		if got := q.Push(1, packetOf(o, 1000, 1), Conditions{}); got != want {
			t.Errorf("packet %d: %v, want %v", i, got, want)
		}
	}
	if q.Len() != 3 || q.Bytes() != 3000 {
		t.Errorf("%d packets, %d bytes", q.Len(), q.Bytes())
	}
}

func TestUnorderedBucket(t *testing.T) {
	q, o := New(1<<20), packet.NewPool(100)
	p := packetOf(o, 100, 7)
	p.Header.Flags = wire.LowLatency
	q.Push(1, p, Conditions{})
	if got := q.Take(0).Header.Bucket; got != wire.Unordered {
		t.Errorf("bucket %d", got)
	}
	for flow := range uint32(1000) {
		q.Push(1, packetOf(o, 1, flow), Conditions{})
		p := q.Take(0)
		if p.Header.Bucket == wire.Unordered {
			t.Fatalf("flow %d is in the bucket of the unordered", flow)
		}
		p.Release()
	}
}

// TestTakeModel: whatever is taken from wherever, packets keep their order,
// sequences have no holes at the entrance, and bytes are right.
func TestTakeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, o := New(1<<20), packet.NewPool(2000)
		var model []*packet.Packet
		var next uint32
		bytes := 0
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			if len(model) == 0 || rapid.IntRange(0, 2).Draw(t, "push") > 0 {
				p := packetOf(o, rapid.IntRange(1, 1400).Draw(t, "size"), rapid.Uint32().Draw(t, "flow"))
				if q.Push(1, p, Conditions{}) != Accepted {
					t.Fatal("not accepted")
				}
				if p.Header.Sequence != next {
					t.Fatalf("sequence %d, want %d", p.Header.Sequence, next)
				}
				next++
				model = append(model, p)
				bytes += len(p.Data)
				continue
			}
			i := rapid.IntRange(0, len(model)-1).Draw(t, "i")
			p := q.Take(i)
			if p != model[i] {
				t.Fatal("another packet")
			}
			q.Carried(core.LinkID(i%2), p)
			bytes -= len(p.Data)
			model = append(model[:i], model[i+1:]...)
			p.Release()
		}
		if q.Len() != len(model) || q.Bytes() != bytes || o.Live() != len(model) {
			t.Fatalf("%d packets, %d bytes, %d live; want %d, %d", q.Len(), q.Bytes(), o.Live(), len(model), bytes)
		}
		for i, p := range model {
			if q.At(i).Sequence != p.Header.BucketSequence {
				t.Fatalf("packet %d is another", i)
			}
		}
		if len(model) > 0 {
			if i := q.Find(rapid.IntRange(0, 1<<21).Draw(t, "offset")); i < 0 || i >= len(model) {
				t.Fatalf("Find names packet %d of %d", i, len(model))
			}
		}
	})
}

// TestSignal: no drop below the threshold, one per control period above it,
// all far above it, and none for the backlog that the scheduler needs.
func TestSignal(t *testing.T) {
	c := Conditions{Rate: 1e6, RTT: 40 * time.Millisecond}
	const threshold = 22_000 // 0.55 * 40 ms at 1e6 bytes/s
	for _, k := range []struct {
		name    string
		backlog float64
		ahead   float64
		want    [3]bool // at 0, 1 and 200 ms
	}{
		{"short", threshold - 1, 0, [3]bool{false, false, false}},
		{"above", threshold + 1000, 0, [3]bool{true, false, true}},
		{"far above", 2*threshold + 21_000, 0, [3]bool{true, true, true}},
		{"needed", 100_000, 90_000, [3]bool{false, false, false}},
	} {
		var s signal
		c.Ahead = k.ahead
		for i, at := range []time.Duration{0, time.Millisecond, 200 * time.Millisecond} {
			if got := s.due(core.Time(time.Hour).Add(at), k.backlog, c); got != k.want[i] {
				t.Errorf("%s: at %v %v, want %v", k.name, at, got, k.want[i])
			}
		}
	}
}
