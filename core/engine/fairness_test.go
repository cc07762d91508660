package engine

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/multilink-vpn/multilink/core/control"
)

// TestBusyClientDoesNotStarveQuietOne keeps the server's TUN full of packets
// for one client: what comes for another in between arrives all the same.
func TestBusyClientDoesNotStarveQuietOne(t *testing.T) {
	keys := []control.PrivateKey{newKey(t), newKey(t)}
	w := newWorld(t)
	server := w.server(nil, keys...)
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
	const flooded = 1000 // packets
	received := func() uint64 { return busy.Status().Counters["rx_packets"] }
	eventually(t, "the flood", func() bool { return received() >= flooded })
	before := received()
	for i := range 20 {
		crosses(t, server.process, quiet.process, outside, quiet.address(), fmt.Sprintf("quiet %d", i))
	}
	eventually(t, "the flood to go on", func() bool { return received() >= before+flooded })
}
