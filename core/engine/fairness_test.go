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
	for i := range 20 {
		crosses(t, server.process, quiet.process, outside, quiet.address(), fmt.Sprintf("quiet %d", i))
	}
	close(stop)
	flooding.Wait()
	if n := busy.Status().Counters["rx_packets"]; n < 1000 {
		t.Errorf("the busy client got %d packets: that is no flood", n)
	}
}
