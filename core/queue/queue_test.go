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
	q, o := New(4000), packet.NewPool(100)
	for _, c := range []struct {
		flow uint32
		want Verdict
	}{{1, Accepted}, {1, Accepted}, {1, Full}, {2, Accepted}, {2, Full}, {3, Accepted}, {4, Full}} {
		// A flow alone may have half of the room, so that another finds some.
		if got := q.Push(1, packetOf(o, 1000, c.flow), Conditions{}); got != c.want {
			t.Errorf("flow %d: %v, want %v", c.flow, got, c.want)
		}
	}
	if q.Total() != 4000 || q.Flows() != 3 {
		t.Errorf("%d bytes of %d flows", q.Total(), q.Flows())
	}
}

func TestUnorderedBucket(t *testing.T) {
	q, o := New(1<<20), packet.NewPool(100)
	p := packetOf(o, 100, 7)
	p.Header.Flags = wire.LowLatency
	q.Push(1, p, Conditions{})
	if q.Urgent() != 1 || q.Waiting() || q.Empty() || q.Len() != 0 {
		t.Errorf("%d urgent, waiting %v, empty %v, %d in turn", q.Urgent(), q.Waiting(), q.Empty(), q.Len())
	}
	if p := q.TakeUrgent(); p.Header.Bucket != wire.Unordered {
		t.Errorf("bucket %d", p.Header.Bucket)
	}
	for flow := range uint32(1000) {
		q.Push(1, packetOf(o, 1, flow), Conditions{})
		p, _ := q.Take(0)
		if p.Header.Bucket == wire.Unordered {
			t.Fatalf("flow %d is in the bucket of the unordered", flow)
		}
		p.Release()
	}
}

// model is a queue beside the lists that it must be the same as, by bucket.
type model struct {
	t       *rapid.T
	q       *Queue
	pool    *packet.Pool
	buckets map[uint8][]*packet.Packet
	next    map[uint8]uint16 // sequence of a bucket

	packets, bytes int
	sequence       uint32
}

// push offers a packet, of low latency now and then.
func (m *model) push() {
	p := packetOf(m.pool, rapid.IntRange(1, 1400).Draw(m.t, "size"), rapid.Uint32Max(5).Draw(m.t, "flow"))
	if rapid.IntRange(0, 9).Draw(m.t, "low latency") == 0 {
		p.Header.Flags = wire.LowLatency
	}
	if m.q.Push(1, p, Conditions{}) != Accepted {
		m.t.Fatal("not accepted")
	}
	b := p.Header.Bucket
	if p.Header.BucketSequence != m.next[b] {
		m.t.Fatalf("bucket sequence %d, want %d", p.Header.BucketSequence, m.next[b])
	}
	m.next[b]++
	m.buckets[b] = append(m.buckets[b], p)
	m.packets++
	m.bytes += len(p.Data)
}

// took checks that p, which the queue gave, is the i-th of a bucket.
func (m *model) took(p *packet.Packet, b uint8, i int) {
	list := m.buckets[b]
	if p != list[i] || p.Header.Sequence != m.sequence {
		m.t.Fatalf("another packet, or sequence %d and not %d", p.Header.Sequence, m.sequence)
	}
	m.sequence++
	m.packets--
	m.bytes -= len(p.Data)
	m.buckets[b] = append(list[:i:i], list[i+1:]...)
	p.Release()
}

// take takes any packet of the bucket whose turn it is.
func (m *model) take() {
	b := m.q.At(0).Bucket
	list := m.buckets[b]
	if m.q.Len() != len(list) {
		m.t.Fatalf("%d packets of bucket %d, want %d", m.q.Len(), b, len(list))
	}
	for i, p := range list {
		if m.q.At(i).Sequence != p.Header.BucketSequence {
			m.t.Fatalf("packet %d is another", i)
		}
	}
	i := m.q.Find(rapid.IntRange(0, 1<<21).Draw(m.t, "offset"))
	p, _ := m.q.Take(i)
	m.took(p, b, i)
}

// TestTakeModel: whatever is taken from wherever, the packets of a bucket keep
// their order and numbers, the session's numbers have no holes where packets
// leave, and counts are right.
func TestTakeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{
			t: t, q: New(1 << 20), pool: packet.NewPool(2000),
			buckets: map[uint8][]*packet.Packet{}, next: map[uint8]uint16{},
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			switch k := rapid.IntRange(0, 5).Draw(t, "step"); {
			case m.packets == 0 || k > 2:
				m.push()
			case m.q.Urgent() != len(m.buckets[wire.Unordered]):
				t.Fatalf("%d urgent, want %d", m.q.Urgent(), len(m.buckets[wire.Unordered]))
			case k == 0:
				m.q.Pass()
			case m.q.Urgent() > 0 && (k == 1 || !m.q.Waiting()):
				m.took(m.q.TakeUrgent(), wire.Unordered, 0)
			default:
				m.take()
			}
		}
		if m.q.Empty() != (m.packets == 0) || m.q.Total() != m.bytes || m.pool.Live() != m.packets {
			t.Fatalf("%d bytes, %d live; want %d, %d", m.q.Total(), m.pool.Live(), m.bytes, m.packets)
		}
	})
}

// TestFairness: backlogged flows get equal bytes whatever the size of their
// packets, and a flow that comes new goes first.
func TestFairness(t *testing.T) {
	q, o := New(1<<24), packet.NewPool(20000)
	sizes := []int{1400, 700, 100}
	for range 1000 {
		for flow, size := range sizes {
			q.Push(1, packetOf(o, size, uint32(flow)), Conditions{})
		}
	}
	got := map[uint8]int{}
	for sum := 0; sum < 150_000; {
		p, _ := q.Take(0)
		got[p.Header.Bucket] += len(p.Data)
		sum += len(p.Data)
		p.Release()
	}
	for b, n := range got {
		if n < 45_000 || n > 55_000 {
			t.Errorf("bucket %d got %d of 150000 bytes", b, n)
		}
	}
	q.Pass()
	q.Push(1, packetOf(o, 80, 77), Conditions{})
	if p, _ := q.Take(0); p.Flow != 77 {
		t.Errorf("flow %d goes before a new one", p.Flow)
	}
}

// TestSignal: no drop below the threshold, one per control period when the
// backlog stays above it, all far above it, and none for the backlog that the
// scheduler needs.
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
		{"above", threshold + 1000, 0, [3]bool{false, false, true}},
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
	// A burst that comes again and again is no standing queue.
	var s signal
	c.Ahead = 0
	for i := range 100 {
		now := core.Time(time.Hour).Add(time.Duration(i) * 10 * time.Millisecond)
		if s.due(now, threshold+1000, c) || s.due(now.Add(5*time.Millisecond), 0, c) {
			t.Fatal("a burst that is gone within a round trip is taken for congestion")
		}
	}
}

// TestLastSequence: what a link carried so long ago that 16 bits would take it
// for something later does not count.
func TestLastSequence(t *testing.T) {
	q, o := New(1<<20), packet.NewPool(10)
	carry := func(id core.LinkID) uint8 {
		q.Push(1, packetOf(o, 100, 1), Conditions{})
		p, _ := q.Take(0)
		q.Carried(id, p)
		defer p.Release()
		return p.Header.Bucket
	}
	bucket := carry(0)
	for range 1<<15 - 1 {
		if seq, ok := q.LastSequence(0, bucket); !ok || seq != 0 {
			t.Fatalf("link 0 carried %d, %v; want 0", seq, ok)
		}
		carry(1)
	}
	if _, ok := q.LastSequence(0, bucket); ok {
		t.Error("still known after half of all sequences")
	}
	if seq, ok := q.LastSequence(1, bucket); !ok || seq != 1<<15-1 {
		t.Errorf("link 1 carried %d, %v", seq, ok)
	}
}

// TestRunOfOneFlow: a flow alone leaves in one run, however many turns it takes,
// and makes way as soon as another waits.
func TestRunOfOneFlow(t *testing.T) {
	q, o := New(1<<20), packet.NewPool(100)
	for range 20 {
		q.Push(1, packetOf(o, quantum/2, 1), Conditions{})
	}
	for i := range 10 {
		if p, last := q.Take(0); p.Flow != 1 || last {
			t.Fatalf("packet %d: of flow %d, last %v", i, p.Flow, last)
		}
	}
	q.Push(1, packetOf(o, 100, 2), Conditions{})
	if p, last := q.Take(0); p.Flow != 2 || !last {
		t.Errorf("beside a new flow: flow %d, last %v", p.Flow, last)
	}
	for i := range 10 {
		if p, last := q.Take(0); p.Flow != 1 || last != (i == 9) {
			t.Errorf("packet %d when the other has gone: of flow %d, last %v", i, p.Flow, last)
		}
	}
}

// What waits is counted as links count it: with the tunnel's overhead.
func TestBytesAreTheLinks(t *testing.T) {
	q, pool := New(1<<20), packet.NewPool(100)
	for range 10 {
		p := pool.Get()
		p.Data = p.Data[:52]
		q.Push(1, p, Conditions{})
	}
	if want := 10 * (52 + wire.Overhead); q.Bytes() != want {
		t.Errorf("%d bytes, want %d", q.Bytes(), want)
	}
	if i := q.Find(5 * (52 + wire.Overhead)); i != 5 {
		t.Errorf("the packet at half of the bytes is %d, want 5", i)
	}
}
