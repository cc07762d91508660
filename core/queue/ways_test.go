package queue

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// put pushes a packet and returns its bucket.
func put(t interface{ Fatalf(string, ...any) }, q *Queue, o *packet.Pool, now core.Time, flow uint32) uint8 {
	p := packetOf(o, 100, flow)
	if v := q.Push(now, p, Conditions{}); v != Accepted {
		t.Fatalf("flow %d: %v", flow, v)
	}
	return p.Header.Bucket
}

func TestFlowsOfOneHash(t *testing.T) {
	const space = 255
	q, o := New(1<<20), packet.NewPool(100)
	flow := func(i int) uint32 { return 7 + space*uint32(i) }
	const now = core.Time(time.Second)
	taken := map[uint8]bool{}
	for i := range ways {
		b := put(t, q, o, now, flow(i))
		if taken[b] {
			t.Errorf("flow %d of %d shares bucket %d", i, ways, b)
		}
		taken[b] = true
	}
	first := put(t, q, o, now, flow(0))
	if got := put(t, q, o, now, flow(ways)); got != first {
		t.Errorf("one flow too many is in bucket %d, the first of its ways is %d", got, first)
	}
	for !q.Empty() {
		p, _ := q.Take(0)
		p.Release()
	}
	later := now.Add(keepBucket)
	put(t, q, o, later-1, flow(0))
	if got := put(t, q, o, later, flow(ways)); got == first {
		t.Errorf("bucket %d is shared though others are free", got)
	}
}

// TestFlowStaysInItsBucket: a flow without a pause does not change its bucket
// while fewer flows than ways are about, and no two share one.
func TestFlowStaysInItsBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q, o := New(1<<20), packet.NewPool(10)
		q.SetClasses(rapid.Bool().Draw(t, "classes"))
		flows := rapid.SliceOfNDistinct(rapid.Uint32(), 1, ways, rapid.ID).Draw(t, "flows")
		of, owner := map[uint32]uint8{}, map[uint8]uint32{}
		now := core.Time(time.Second)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			now = now.Add(time.Duration(rapid.IntRange(0, int(keepBucket)/ways/2).Draw(t, "pause")))
			for _, f := range flows {
				b := put(t, q, o, now, f)
				if was, ok := of[f]; ok && was != b {
					t.Fatalf("flow %d went from bucket %d to %d", f, was, b)
				}
				if other, ok := owner[b]; ok && other != f {
					t.Fatalf("flows %d and %d share bucket %d", f, other, b)
				}
				of[f], owner[b] = b, f
				for !q.Empty() {
					p, _ := q.Take(0)
					p.Release()
				}
			}
		}
	})
}
