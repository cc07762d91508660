package engine

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/tun"
	"github.com/multilink-vpn/multilink/core/wire"
)

// wireTap is the way of one link in one direction. It notes the numbers of
// the datagrams as they are written.
type wireTap struct {
	mu      sync.Mutex
	numbers []uint64
	queue   chan []byte
	used    chan []byte // memory of datagrams that were delivered
}

// tapDepth is how many datagrams are on their way at most.
const tapDepth = 4096

func newWireTap() *wireTap {
	return &wireTap{queue: make(chan []byte, tapDepth), used: make(chan []byte, tapDepth)}
}

func (w *wireTap) Write(data []byte, segment int, _ core.Path) error {
	runtime.Gosched() // give others the chance to overtake
	for d := range slices.Chunk(data, segment) {
		h, err := wire.ParseHeader(d)
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.numbers = append(w.numbers, h.Number)
		w.mu.Unlock()
		var room []byte
		select {
		case room = <-w.used:
		default:
		}
		select {
		case w.queue <- append(room[:0], d...):
		default: // lost
		}
	}
	return nil
}

// deliver hands the datagrams of a link to an end until the queue is closed.
func (w *wireTap) deliver(to *driver, id core.LinkID) {
	batch := make([]core.Datagram, 1)
	for b := range w.queue {
		batch[0] = core.Datagram{Data: b}
		to.HandleDatagrams(id, batch)
		select {
		case w.used <- b:
		default:
		}
	}
}

// pair is two drivers with links between them.
type pair struct {
	ends [2]*driver
	tuns [2]*tun.PipeEnd
	taps []*wireTap
}

// newPair makes drivers with devices in memory, of which the test has the other
// ends.
func newPair(t *testing.T, links int) *pair {
	t.Helper()
	var queues [2]tun.Queue
	var ends [2]*tun.PipeEnd
	for i := range queues {
		device, end := tun.NewPipe(fmt.Sprintf("end%d", i), 4096, 1)
		queues[i], ends[i] = device.Queues()[0], end
	}
	p := joinQueues(t, links, queues)
	p.tuns = ends
	return p
}

// joinQueues makes drivers with the given queues of a TUN each.
func joinQueues(t *testing.T, links int, queues [2]tun.Queue) *pair {
	t.Helper()
	p := new(pair)
	for i := range p.ends {
		d, err := newDriver(newClock(), session.Config{
			Send: session.Strategy{Scheduler: "wrr", Equalize: "auto", Classifier: "rtp"}, Reorder: "global", Seed: uint64(i),
		}, queues[i], nil, newLog(t, "driver").logger)
		if err != nil {
			t.Fatal(err)
		}
		p.ends[i] = d
	}
	var running sync.WaitGroup
	for id := range core.LinkID(links) {
		keys, err := seal.Derive(func(_ string, _ []byte, n int) ([]byte, error) {
			return bytes.Repeat([]byte{byte(id) + 1}, n), nil
		}, seal.Binding{Suite: seal.ChaCha20Poly1305, Link: id})
		if err != nil {
			t.Fatal(err)
		}
		send := []seal.Key{keys.ClientToServer, keys.ServerToClient}
		for i, d := range p.ends {
			tap := newWireTap()
			p.taps = append(p.taps, tap)
			err := d.AddLink(session.LinkConfig{
				ID: id, Name: "link", SendKey: send[i], ReceiveKey: send[1-i], PeerIndex: 1,
				Path: core.Path{Remote: netip.MustParseAddrPort("192.0.2.1:5410")},
			}, tap, nil)
			if err != nil {
				t.Fatal(err)
			}
			other := p.ends[1-i]
			running.Go(func() { tap.deliver(other, id) })
		}
	}
	t.Cleanup(func() {
		for _, d := range p.ends {
			d.Close()
		}
		for _, tap := range p.taps {
			close(tap.queue)
		}
		running.Wait()
	})
	for _, d := range p.ends {
		eventually(t, "links up", func() bool {
			for _, l := range d.Snapshot().Links {
				if l.State != "up" {
					return false
				}
			}
			return true
		})
	}
	return p
}

// Whoever calls the session, datagrams of a link leave in the order of their
// numbers, and packets reach the TUN in the order in which the session gave
// them: over one link, that of each sender.
func TestDriverKeepsOrder(t *testing.T) {
	const senders, each = 4, 500
	p := newPair(t, 1)
	src, dst := netip.MustParseAddr("10.8.0.2"), netip.MustParseAddr("192.0.2.9")
	var all sync.WaitGroup
	defer all.Wait()
	for s := range senders {
		all.Go(func() {
			for i := range each {
				p.ends[0].HandlePackets([]core.Packet{udpPacket(src, dst, fmt.Sprintf("%d %d", s, i))})
				runtime.Gosched()
			}
		})
	}
	last := make([]int, senders)
	for i := range last {
		last[i] = -1
	}
	collected := 0
	eventually(t, "all packets came out or were dropped by the queue", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		for {
			got, err := p.tuns[1].Collect(ctx)
			if err != nil {
				c := p.ends[0].Snapshot().Counters
				return collected+int(c.DropQueueFull+c.DropQueueSignal) == senders*each
			}
			collected++
			var s, i int
			if _, err := fmt.Sscanf(string(got.Data[28:]), "%d %d", &s, &i); err != nil {
				t.Fatal(err)
			}
			if i <= last[s] {
				t.Errorf("sender %d: packet %d after %d", s, i, last[s])
			}
			last[s] = i
		}
	})
	all.Wait()
	for i, tap := range p.taps {
		tap.mu.Lock()
		if !slices.IsSorted(tap.numbers) {
			t.Errorf("datagrams of end %d left out of order", i)
		}
		tap.mu.Unlock()
	}
}

// sink is a TUN's queue that counts what is written to it, and keeps none of it.
type sink struct {
	tun.Queue
	packets atomic.Int64
}

func (s *sink) Write(packets []core.Packet) error {
	s.packets.Add(int64(len(packets)))
	return nil
}

// TestDriverAllocatesNothing has packets cross in both directions.
func TestDriverAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("with the race detector, pools forget what they hold now and then")
	}
	sinks := [2]*sink{new(sink), new(sink)}
	p := joinQueues(t, 1, [2]tun.Queue{sinks[0], sinks[1]})
	var batch []core.Packet
	for range 32 {
		batch = append(batch, udpPacket(gateway, outside, strings.Repeat("x", 1000)))
	}
	sent := int64(0)
	round := func() {
		sent += int64(len(batch))
		for from, d := range p.ends {
			d.HandlePackets(batch)
			for limit := time.Now().Add(patience); sinks[1-from].packets.Load() < sent; runtime.Gosched() {
				if time.Now().After(limit) {
					t.Fatalf("%d of %d packets came from end %d", sinks[1-from].packets.Load(), sent, from)
				}
			}
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(200, round); n > 0 {
		t.Errorf("%v allocations for %d packets in each direction", n, len(batch))
	}
}

// The timer stays near as long as datagrams come so fast that reports are due all
// the time.
func TestTimerNapsWhileDatagramsComeFast(t *testing.T) {
	d := new(driver)
	now := core.Time(time.Hour)
	for _, step := range []struct {
		after time.Duration
		came  int
		want  time.Duration
	}{
		{time.Hour, 1000, longestSleep},
		{napTime, napDatagrams, napTime},
		{napTime / 2, napDatagrams, napTime},
		{napTime / 2, napDatagrams - 1, longestSleep},
		{napTime + 1, napDatagrams, longestSleep},
		{5 * napTime, 5 * napDatagrams, napTime},
		{5 * napTime, 0, longestSleep},
	} {
		now = now.Add(step.after)
		d.came += step.came
		if got := d.longest(now); got != step.want {
			t.Errorf("%d datagrams in %v: %v, want %v", step.came, step.after, got, step.want)
		}
	}
}

func TestDriverAfterClose(t *testing.T) {
	p := newPair(t, 1)
	d := p.ends[0]
	d.Close()
	d.Close()
	d.HandlePackets([]core.Packet{udpPacket(gateway, outside, "late")})
	d.HandleDatagrams(0, nil)
	d.RemoveLink(0)
	if err := d.SetStrategy(session.Strategy{Scheduler: "wrr"}); err != errClosed {
		t.Errorf("error %v", err)
	}
	d.Snapshot()
}
