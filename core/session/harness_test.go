package session

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/seal"
)

// world runs a client and a server session in virtual time over pipes with
// a rate, a delay and loss.
type world struct {
	t      testing.TB
	now    core.Time
	ends   [2]*end
	events eventHeap
	n      int
	random *rand.Rand
	// roundTrip is what links' control connections are said to have taken.
	roundTrip time.Duration
}

// end is one of the two sessions and what came out of it.
type end struct {
	s                    *Session
	out                  Output
	pipes                [core.MaxLinks]*pipe // towards the other end
	received             [][]byte
	at                   []core.Time
	datagrams, sentBytes int
	changes              []Change
	stalled              core.Time // until then its host has no processor for it
}

// readsAfter is how long after a stall a host reads its sockets: its timers were
// due before.
const readsAfter = time.Millisecond

// deliver hands a datagram that has just come to an end, or lets it wait in its
// socket while the end has no processor.
func (w *world) deliver(to *end, id core.LinkID, d []byte, seen core.Path, came core.Time) {
	if to.stalled > w.now || came < to.stalled && w.now < to.stalled.Add(readsAfter) {
		w.at(to.stalled.Add(readsAfter), func() { w.deliver(to, id, d, seen, came) })
		return
	}
	to.s.HandleDatagrams(w.now, id, []core.Datagram{{Data: d, Path: seen, Age: w.now.Sub(came)}}, &to.out)
	w.carryOut(to)
}

// pipe is one direction of a link.
type pipe struct {
	rate  float64 // bytes/s; 0: unlimited
	delay time.Duration
	queue time.Duration
	loss  float64
	dead  bool
	noUDP bool      // only what goes over the control connection passes
	mtu   int       // outer packets above it vanish; 0: none does
	path  core.Path // as the receiver sees it
	lost  func(to core.Path) bool
	free  core.Time
	drops int
}

type event struct {
	at  core.Time
	n   int // order among equals
	run func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].n < h[j].n
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	e := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return e
}

const (
	client = 0
	server = 1
)

var wholeStrategy = Strategy{Scheduler: "wrr", RateControl: true, Retransmit: true, Equalize: "off", Classifier: "rtp"}

func newWorld(t testing.TB, st Strategy, reorder string) *world {
	w := &world{t: t, now: core.Time(time.Hour), random: rand.New(rand.NewPCG(1, 2))}
	for i := range w.ends {
		s, err := New(Config{Send: st, Reorder: reorder, LearnPaths: i == server, FollowLatency: i == server, Seed: uint64(i)}, w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.ends[i] = &end{s: s}
	}
	return w
}

func testKeys(t testing.TB, id core.LinkID, n byte) seal.LinkKeys {
	keys, err := seal.Derive(func(label string, context []byte, size int) ([]byte, error) {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i) ^ n ^ byte(id) ^ label[i%len(label)]
		}
		return b, nil
	}, seal.Binding{Suite: seal.AES128GCM, Link: id})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func clientPath(id core.LinkID) core.Path {
	return core.Path{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 10 + byte(id)}), 40000)}
}

// link joins the two ends by a link with a pipe in each direction.
func (w *world) link(id core.LinkID, up, down pipe) {
	keys := testKeys(w.t, id, 0)
	serverPath := core.Path{Remote: netip.MustParseAddrPort("198.51.100.1:5410")}
	up.path, down.path = clientPath(id), serverPath
	w.ends[client].pipes[id], w.ends[server].pipes[id] = &up, &down
	add := func(e *end, lc LinkConfig) {
		lc.ID, lc.Name = id, fmt.Sprintf("link%d", id)
		if err := e.s.AddLink(w.now, lc, &e.out); err != nil {
			w.t.Fatal(err)
		}
		w.carryOut(e)
	}
	add(w.ends[server], LinkConfig{SendKey: keys.ServerToClient, ReceiveKey: keys.ClientToServer, PeerIndex: 9})
	add(w.ends[client], LinkConfig{SendKey: keys.ClientToServer, ReceiveKey: keys.ServerToClient, PeerIndex: 7, Path: serverPath, Stream: true, RoundTrip: w.roundTrip})
}

// at schedules f.
func (w *world) at(t core.Time, f func()) {
	w.n++
	heap.Push(&w.events, event{t, w.n, f})
}

// carryOut does what an end's output says.
func (w *world) carryOut(e *end) {
	e.changes = append(e.changes, e.out.Changes...)
	for _, p := range e.out.Packets {
		e.received = append(e.received, append([]byte(nil), p.Data...))
		e.at = append(e.at, w.now)
	}
	for _, r := range e.out.Runs {
		for d := r.Data; len(d) > 0; {
			n := min(r.Segment, len(d))
			w.transmit(e, r.Link, r.Path, append([]byte(nil), d[:n]...))
			d = d[n:]
		}
	}
}

func (w *world) transmit(from *end, id core.LinkID, path core.Path, d []byte) {
	p := from.pipes[id]
	stream, seen := path.Stream, p.path
	if stream {
		seen = streamPath
	}
	from.datagrams++
	from.sentBytes += len(d)
	arrive := w.now
	if p.rate > 0 {
		if p.queue > 0 && p.free.Sub(w.now) > p.queue {
			p.drops++
			return
		}
		p.free = max(p.free, w.now).Add(time.Duration(float64(len(d)+28) / p.rate * 1e9))
		arrive = p.free
	}
	if p.dead || !stream && (p.noUDP || p.lost != nil && p.lost(path) || p.mtu > 0 && len(d)+28 > p.mtu || p.loss > 0 && w.random.Float64() < p.loss) {
		p.drops++
		return
	}
	to := w.ends[server]
	if from == to {
		to = w.ends[client]
	}
	w.at(arrive.Add(p.delay), func() {
		if p.dead {
			return
		}
		w.deliver(to, id, d, seen, w.now)
	})
}

// send puts inner packets into an end.
func (w *world) send(i int, packets ...[]byte) {
	e := w.ends[i]
	var batch []core.Packet
	for _, p := range packets {
		batch = append(batch, core.Packet{Data: p})
	}
	e.s.HandlePackets(w.now, batch, &e.out)
	w.carryOut(e)
}

// run lets d pass.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 20_000_000 {
			w.t.Fatal("too many steps: a timer does not move on")
		}
		next, who := end, -1
		if len(w.events) > 0 && w.events[0].at < next {
			next = w.events[0].at
		}
		for i, e := range w.ends {
			if t := max(e.s.NextTimeout(), e.stalled); t < next {
				next, who = t, i
			}
		}
		if next >= end {
			w.now = end
			return
		}
		w.now = max(w.now, next)
		if who >= 0 {
			e := w.ends[who]
			e.s.HandleTimeout(w.now, &e.out)
			w.carryOut(e)
			continue
		}
		heap.Pop(&w.events).(event).run()
	}
}

// numbered makes a UDP packet of size bytes that carries n.
func numbered(n uint64, size int) []byte {
	p := make([]byte, size)
	p[0], p[8], p[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(p[2:], uint16(size))
	copy(p[12:], []byte{10, 8, 0, 2, 198, 18, 0, 1})
	binary.BigEndian.PutUint16(p[20:], 5000)
	binary.BigEndian.PutUint16(p[22:], 6000)
	binary.BigEndian.PutUint16(p[24:], uint16(size-20))
	binary.BigEndian.PutUint64(p[28:], n)
	return p
}

func number(p []byte) uint64 { return binary.BigEndian.Uint64(p[28:]) }

// stream sends size-byte packets from an end at a steady rate of bytes/s.
func (w *world) stream(from int, rate float64, size int, d time.Duration) (count int) {
	step := time.Duration(float64(size) / rate * 1e9)
	for t := time.Duration(0); t < d; t += step {
		n := uint64(count)
		count++
		w.at(w.now.Add(t), func() { w.send(from, numbered(n, size)) })
	}
	return count
}
