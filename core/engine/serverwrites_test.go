package engine

import (
	"fmt"
	"sync"
	"testing"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/tun"
)

// notedTUN is a device that notes what is written to which of its queues.
type notedTUN struct {
	tun.Device
	mu     sync.Mutex
	queues map[string]int // by the text of the packet
}

func (n *notedTUN) Queues() []tun.Queue {
	var all []tun.Queue
	for i, q := range n.Device.Queues() {
		all = append(all, notedQueue{q, n, i})
	}
	return all
}

type notedQueue struct {
	tun.Queue
	device *notedTUN
	index  int
}

func (q notedQueue) Write(pkts []core.Packet) error {
	q.device.mu.Lock()
	for _, p := range pkts {
		q.device.queues[string(p.Data[28:])] = q.index
	}
	q.device.mu.Unlock()
	return q.Queue.Write(pkts)
}

// What a queue takes waits for one lock: clients have queues of their own.
func TestClientsWriteToTheTUNApart(t *testing.T) {
	const clients = 3
	var keys []control.PrivateKey
	for range clients {
		keys = append(keys, newKey(t))
	}
	w := newWorld(t)
	noted := &notedTUN{queues: map[string]int{}}
	w.wrapTUN = func(d tun.Device) tun.Device {
		noted.Device = d
		return noted
	}
	server := w.server(nil, keys...)
	used := map[int]bool{}
	for i, key := range keys {
		c := w.client(key, nil, iface("wan0", 1+i))
		c.waitLinks("wan0")
		for _, text := range []string{"one", "two"} {
			text = fmt.Sprint(text, " of ", i)
			crosses(t, c.process, server.process, c.address(), outside, text)
			noted.mu.Lock()
			used[noted.queues[text]] = true
			noted.mu.Unlock()
		}
	}
	if len(used) != clients {
		t.Errorf("%d clients write to queues %v", clients, used)
	}
}
