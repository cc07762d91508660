package queue

import (
	"testing"

	"github.com/multilink-vpn/multilink/core/packet"
)

// TestNewFlowEndsATurn: a flow in its first turn waits for nothing of a bulk flow's
// turn, which goes on with what was left of it.
func TestNewFlowEndsATurn(t *testing.T) {
	q, o := New(1<<20), packet.NewPool(100)
	for _, flow := range []uint32{1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2} {
		q.Push(1, packetOf(o, quantum/3, flow), Conditions{})
	}
	take := func(about string, want uint32) {
		t.Helper()
		if p, _ := q.Take(0); p.Flow != want {
			t.Errorf("%s: of flow %d, want %d", about, p.Flow, want)
		}
	}
	for _, flow := range []uint32{1, 1, 1, 2, 2, 2, 1} {
		take("the bulk flows", flow)
	}
	q.Push(1, packetOf(o, 100, 3), Conditions{})
	take("one that is new", 3)
	for _, flow := range []uint32{1, 1, 2, 2, 2} {
		take("the turn goes on", flow)
	}
}

func TestSparse(t *testing.T) {
	q, o := New(1<<20), packet.NewPool(100)
	if q.Sparse() {
		t.Error("an empty queue is sparse")
	}
	q.Push(1, packetOf(o, 1000, 1), Conditions{})
	if !q.Sparse() {
		t.Error("the first packet of a flow is not sparse")
	}
	for range 3 {
		q.Push(1, packetOf(o, 1000, 1), Conditions{})
	}
	if q.Sparse() {
		t.Error("more than a turn's is sparse")
	}
	q.Take(0)
	q.Take(0)
	if q.Sparse() {
		t.Error("the second turn is sparse")
	}
	q.Push(1, packetOf(o, 100, 2), Conditions{})
	if !q.Sparse() || q.At(0).Flow != 2 {
		t.Errorf("a new flow beside it: sparse %v, of flow %d", q.Sparse(), q.At(0).Flow)
	}
}
