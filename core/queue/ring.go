package queue

// ring is a list of buckets in the order of their turns. A bucket is in one
// list at most once, so that it never holds more than there are.
type ring struct {
	slots   []*bucket // as many as were needed at a time, a power of two
	head, n int
}

// ringLeast is the length a ring begins with.
const ringLeast = 8

func (r *ring) front() *bucket { return r.slots[r.head] }

func (r *ring) push(b *bucket) {
	if r.n == len(r.slots) {
		r.grow()
	}
	r.slots[(r.head+r.n)%len(r.slots)] = b
	r.n++
}

func (r *ring) grow() {
	slots := make([]*bucket, max(ringLeast, 2*len(r.slots)))
	for i := range r.n {
		slots[i] = r.slots[(r.head+i)%len(r.slots)]
	}
	r.slots, r.head = slots, 0
}

func (r *ring) pop() {
	r.slots[r.head] = nil
	r.head = (r.head + 1) % len(r.slots)
	r.n--
}
