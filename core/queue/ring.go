package queue

import "github.com/multilink-vpn/multilink/core/wire"

// ring is a list of buckets in the order of their turns. A bucket is in one
// list at most once, so that it never fills.
type ring struct {
	slots   [wire.Buckets]*bucket
	head, n int
}

func (r *ring) front() *bucket { return r.slots[r.head] }

func (r *ring) push(b *bucket) {
	r.slots[(r.head+r.n)%len(r.slots)] = b
	r.n++
}

func (r *ring) pop() {
	r.slots[r.head] = nil
	r.head = (r.head + 1) % len(r.slots)
	r.n--
}
