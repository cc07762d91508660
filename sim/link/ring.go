package link

// ring is a first-in first-out queue that keeps its memory.
type ring struct {
	items []item // its length is a power of two
	head  int
	count int
}

func (r *ring) push(it item) {
	if r.count == len(r.items) {
		r.grow()
	}
	r.items[(r.head+r.count)&(len(r.items)-1)] = it
	r.count++
}

// front returns the oldest item; there must be one.
func (r *ring) front() *item { return &r.items[r.head] }

func (r *ring) pop() item {
	it := r.items[r.head]
	r.items[r.head] = item{}
	r.head = (r.head + 1) & (len(r.items) - 1)
	r.count--
	return it
}

func (r *ring) grow() {
	items := make([]item, max(64, 2*len(r.items)))
	for i := range r.count {
		items[i] = r.items[(r.head+i)&(len(r.items)-1)]
	}
	r.items, r.head = items, 0
}
