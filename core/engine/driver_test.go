package engine

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
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
		select {
		case w.queue <- bytes.Clone(d):
		default: // lost
		}
	}
	return nil
}

// pair is two drivers with links between them.
type pair struct {
	ends [2]*driver
	tuns [2]*tun.PipeEnd
	taps []*wireTap
}

func newPair(t *testing.T, links int) *pair {
	t.Helper()
	p := new(pair)
	for i := range p.ends {
		dev, end := tun.NewPipe(fmt.Sprintf("end%d", i), 4096)
		d, err := newDriver(newClock(), session.Config{
			Send: session.Strategy{Scheduler: "wrr", Equalize: "auto", Classifier: "rtp"}, Reorder: "global", Seed: uint64(i),
		}, &device{Device: dev}, nil, newLog(t, "driver").logger)
		if err != nil {
			t.Fatal(err)
		}
		p.ends[i], p.tuns[i] = d, end
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
			tap := &wireTap{queue: make(chan []byte, 4096)}
			p.taps = append(p.taps, tap)
			err := d.AddLink(session.LinkConfig{
				ID: id, Name: "link", SendKey: send[i], ReceiveKey: send[1-i], PeerIndex: 1,
				Path: core.Path{Remote: netip.MustParseAddrPort("192.0.2.1:5410")},
			}, tap, nil)
			if err != nil {
				t.Fatal(err)
			}
			other := p.ends[1-i]
			running.Go(func() {
				for b := range tap.queue {
					other.HandleDatagrams(id, []core.Datagram{{Data: b}})
				}
			})
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

func TestDriverAllocatesNothing(t *testing.T) {
	p := newPair(t, 1)
	if n := testing.AllocsPerRun(1000, func() { p.ends[0].HandlePackets(nil) }); n > 0 {
		t.Errorf("%v allocations per call", n)
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
