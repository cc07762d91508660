package engine

import (
	"net/netip"
	"runtime"
	"sync"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
)

// TestBusyClientDoesNotStarveQuietOne keeps the server's TUN full of packets for one
// client: what goes to and comes from another in between arrives, though it is sent
// once. Their addresses are such that they would share one of four queues.
func TestBusyClientDoesNotStarveQuietOne(t *testing.T) {
	keys := []control.PrivateKey{newKey(t), newKey(t)}
	w := newWorld(t)
	server := w.server(func(c *config.Server) {
		c.Clients[0].Address4 = netip.MustParseAddr("10.8.0.8")
		c.Clients[1].Address4 = netip.MustParseAddr("10.8.0.12")
	}, keys...)
	busy := w.client(keys[0], nil, iface("wan0", 1))
	quiet := w.client(keys[1], nil, iface("wan0", 2))
	busy.waitLinks("wan0")
	quiet.waitLinks("wan0")

	stop := make(chan struct{})
	var flooding sync.WaitGroup
	flood := udpPacket(outside, busy.address(), "flood")
	flooding.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if !server.tun.Inject(flood) { // full
				runtime.Gosched()
			}
		}
	})
	defer flooding.Wait()
	defer close(stop)
	more := func() {
		received := func() uint64 { return busy.Status().Counters["rx_packets"] }
		before := received()
		eventually(t, "the flood", func() bool { return received() >= before+100 })
	}
	more()
	if share := shareOf(t, server.process, quiet.process, outside, quiet.address(), more); share < 0.9 {
		t.Errorf("%.2f of what is sent to the quiet client arrives", share)
	}
	if share := shareOf(t, quiet.process, server.process, quiet.address(), outside, more); share < 0.9 {
		t.Errorf("%.2f of what the quiet client sends arrives", share)
	}
}

// shareOf sends packets once each, with a pause before each, and returns how many of
// them come out at the other end, as a share.
func shareOf(t *testing.T, from, to *process, src, dst netip.Addr, pause func()) float64 {
	t.Helper()
	const packets = 50
	for range packets {
		pause()
		from.tun.Inject(udpPacket(src, dst, "once"))
	}
	came := 0
	eventually(t, "the last packet arrives", func() bool {
		from.tun.Inject(udpPacket(src, dst, "last"))
		before, err := collect(t, to, "last", soon)
		for _, text := range before {
			if text == "once" {
				came++
			}
		}
		return err == nil
	})
	return float64(came) / packets
}
