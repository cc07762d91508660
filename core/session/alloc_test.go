package session

import (
	"runtime"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// shuttle carries what the ends of a world put out straight to the other end,
// without allocating.
type shuttle struct {
	w     *world
	batch []core.Datagram
	data  [][]byte
}

func (h *shuttle) carry(from, to int) {
	a, b := h.w.ends[from], h.w.ends[to]
	defer func() { a.out.Runs = a.out.Runs[:0] }()
	for _, r := range a.out.Runs {
		h.batch = h.batch[:0]
		for d, i := r.Data, 0; len(d) > 0; i++ {
			n := min(r.Segment, len(d))
			if i == len(h.data) {
				h.data = append(h.data, make([]byte, 0, 2048))
			}
			h.data[i] = append(h.data[i][:0], d[:n]...)
			h.batch = append(h.batch, core.Datagram{Data: h.data[i], Path: a.pipes[r.Link].path})
			d = d[n:]
		}
		b.s.HandleDatagrams(h.w.now, r.Link, h.batch, &b.out)
	}
}

// exchange carries what an end has put out, and the answers to it.
func (h *shuttle) exchange(end int) {
	for len(h.w.ends[end].out.Runs) > 0 {
		h.carry(end, 1-end)
		end = 1 - end
	}
}

// TestNoAllocationInSteadyState sends packets both ways over two links, with
// acknowledgements, resequencing and retention on.
func TestNoAllocationInSteadyState(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	h := &shuttle{w: w}
	var batch []core.Packet
	for n := range uint64(16) {
		batch = append(batch, core.Packet{Data: numbered(n, 1400)})
	}
	round := func() {
		for end := range w.ends {
			e := w.ends[end]
			w.now = w.now.Add(500 * time.Microsecond)
			e.s.HandlePackets(w.now, batch, &e.out)
			h.exchange(end)
			e.s.HandleTimeout(w.now, &e.out)
			h.exchange(end)
		}
	}
	for range 2000 {
		round()
	}
	before := w.ends[client].s.Snapshot(w.now).Counters
	perRound := testing.AllocsPerRun(1000, round)
	after := w.ends[client].s.Snapshot(w.now).Counters
	if after.RxPackets-before.RxPackets < 15000 {
		t.Fatalf("only %d packets came", after.RxPackets-before.RxPackets)
	}
	if perPacket := perRound / float64(2*len(batch)); perPacket > 0.001 {
		t.Errorf("%.4f allocations per packet, want 0", perPacket)
	}
}

// TestNoAllocationOnTheWholePath is the same with the default strategy, for
// super-packets and small packets of several flows in both directions. Memory
// grows until the queue has been as long as it gets.
func TestNoAllocationOnTheWholePath(t *testing.T) {
	const rounds, most = 1000, 20
	batch := append(smallPackets(8, 4, 200), superPacket(8))
	for _, links := range []int{1, 2} {
		x := newExchange(t, links, "flow")
		delivered, perPacket := 0, 1.0
		for tries := 0; tries < most && perPacket > 0.001; tries++ {
			delivered = 0
			perRound := testing.AllocsPerRun(rounds, func() { delivered += x.round(server, batch) + x.round(client, batch) })
			perPacket = perRound / 32
		}
		if want := (rounds + 1) * 32; delivered < want/2 { // the rest is dropped as a signal of congestion
			t.Errorf("%d links: only %d of %d packets came", links, delivered, want)
		}
		if perPacket > 0.001 {
			t.Errorf("%d links: %.4f allocations per packet, want 0", links, perPacket)
		}
	}
}

// maxIdleMemory is what the session of an idle client may cost a server, in
// bytes. Its control connections and goroutines come on top.
const maxIdleMemory = 60 << 10

// TestMemoryOfIdleClients makes sessions with two links each, lets them carry
// data, and looks at what they keep once they are idle.
func TestMemoryOfIdleClients(t *testing.T) {
	const clients = 64
	batch := append(smallPackets(64, 8, 1000), superPacket(segmentsPerSuper))
	keep := make([]*Session, 0, clients)
	before := heapInUse()
	for range clients {
		x := newExchange(t, 2, "flow")
		for range 50 {
			x.round(server, batch)
			x.round(client, batch)
		}
		x.w.run(3 * time.Minute) // its flows are forgotten too
		keep = append(keep, x.w.ends[server].s)
	}
	per := (int64(heapInUse()) - int64(before)) / clients
	t.Logf("%d bytes per idle client", per)
	if per > maxIdleMemory {
		t.Errorf("an idle client costs %d bytes, want at most %d", per, maxIdleMemory)
	}
	runtime.KeepAlive(keep)
}

// heapInUse is the memory in use after a collection.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
