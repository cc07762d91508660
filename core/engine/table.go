package engine

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/multilink-vpn/multilink/core"
)

// endpoint is where the datagrams of a receiver index go.
type endpoint struct {
	driver *driver
	link   core.LinkID
}

// table finds the session of a datagram by its receiver index, and that of a
// packet by its destination.
type table struct {
	mu        sync.RWMutex
	byIndex   map[uint32]endpoint
	byAddress map[netip.Addr]*driver
}

func newTable() *table {
	return &table{byIndex: make(map[uint32]endpoint), byAddress: make(map[netip.Addr]*driver)}
}

// reserve returns a receiver index that is not in use, and holds it. Indices
// are random so that they tell nobody how many clients there are.
func (t *table) reserve() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		index := newIndex()
		if _, taken := t.byIndex[index]; !taken {
			t.byIndex[index] = endpoint{}
			return index
		}
	}
}

// set directs the datagrams of an index.
func (t *table) set(index uint32, e endpoint) {
	t.mu.Lock()
	t.byIndex[index] = e
	t.mu.Unlock()
}

// release forgets an index.
func (t *table) release(index uint32) {
	t.mu.Lock()
	delete(t.byIndex, index)
	t.mu.Unlock()
}

// link finds where the datagrams of an index go.
func (t *table) link(index uint32) (endpoint, bool) {
	t.mu.RLock()
	e, ok := t.byIndex[index]
	t.mu.RUnlock()
	return e, ok && e.driver != nil
}

// route directs the packets for an address.
func (t *table) route(a netip.Addr, d *driver) {
	t.mu.Lock()
	t.byAddress[a] = d
	t.mu.Unlock()
}

// unroute forgets an address if its packets still go to d.
func (t *table) unroute(a netip.Addr, d *driver) {
	t.mu.Lock()
	if t.byAddress[a] == d {
		delete(t.byAddress, a)
	}
	t.mu.Unlock()
}

// destination finds the session that owns an address, nil if none does.
func (t *table) destination(a netip.Addr) *driver {
	t.mu.RLock()
	d := t.byAddress[a]
	t.mu.RUnlock()
	return d
}

// newIndex draws a receiver index.
func newIndex() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	return binary.BigEndian.Uint32(b[:])
}
