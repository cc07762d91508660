package reseq

// chain is a list in some order. Its elements hold their own places in it, so
// that one can leave from the middle, and none costs an allocation.
type chain[T any] struct{ first, last *place[T] }

// place is an element's place in a chain.
type place[T any] struct {
	of         T
	prev, next *place[T]
}

// add puts p at the end.
func (c *chain[T]) add(p *place[T]) { c.insert(p, c.last) }

// insert puts p behind after, or at the beginning when that is nil.
func (c *chain[T]) insert(p, after *place[T]) {
	p.prev = after
	if after == nil {
		p.next, c.first = c.first, p
	} else {
		p.next, after.next = after.next, p
	}
	if p.next == nil {
		c.last = p
	} else {
		p.next.prev = p
	}
}

// remove takes p, which must be in the chain, out of it.
func (c *chain[T]) remove(p *place[T]) {
	if p.prev == nil {
		c.first = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		c.last = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
