package queue

import "github.com/multilink-vpn/multilink/core/wire"

// Classes is the number of priority classes; 0 is the lowest, that of packets
// about which nothing is known.
const Classes = 3

// weights are the shares of classes that all have packets waiting. The lowest
// keeps 1/20 beside both others, and 1/17 beside the highest alone.
var weights = [Classes]uint64{1, 3, 16}

// costs are what a byte of each class costs: the inverse of its weight, times
// their least common multiple.
var costs = [Classes]uint64{48 / weights[0], 48 / weights[1], 48 / weights[2]}

// leastShare is the backlog of a flow, in bytes, that is no congestion however
// small its share: what TCP needs to notice a loss without a timeout.
const leastShare = 4 * quantum

// bucketSpace is where the buckets of each class begin when they are split; they
// end where those of the next begin.
var bucketSpace = [Classes + 1]uint32{1, 192, 224, wire.Buckets}

// class is the flows of one priority. Classes take turns by start-time fair
// queueing (Goyal, Vin and Cheng, SIGCOMM 1996): the one that was served least
// in proportion to its weight is next, and one that had nothing to send does
// not make up for it.
type class struct {
	fresh   ring // buckets in their first turn
	old     ring
	packets int
	waiting int    // buckets that hold any
	served  uint64 // bytes times cost
	passed  bool   // no link wanted a packet of it
}

// SetClasses turns classes of priority on or off. Where they are on, flows of
// different class are never in the same bucket.
func (q *Queue) SetClasses(on bool) { q.split = on }

// classOf is the class of the flows in a bucket.
func (q *Queue) classOf(bucket uint8) uint8 {
	if q.split {
		for i := uint8(Classes - 1); i > 0; i-- {
			if uint32(bucket) >= bucketSpace[i] {
				return i
			}
		}
	}
	return 0
}

// list makes a bucket, which is about to get a packet, take turns.
func (q *Queue) list(b *bucket) {
	if !b.listed {
		b.class = q.classOf(b.id)
	}
	c := &q.classes[b.class]
	if c.packets == 0 {
		c.served = max(c.served, q.served)
	}
	c.packets++
	if b.len() == 0 {
		c.waiting++
	}
	if !b.listed {
		b.listed, b.deficit = true, quantum
		c.fresh.push(b)
		// It waits for no more of an old bucket's turn, which goes on afterwards.
		if q.current != nil && q.current.class == b.class && c.fresh.n == 1 {
			q.current = nil
		}
	}
}

// nextClass is the class whose turn it is. A packet must be waiting.
func (q *Queue) nextClass() *class {
	for {
		var best *class
		for i := range q.classes {
			c := &q.classes[Classes-1-i]
			if c.packets > 0 && !c.passed && (best == nil || c.served < best.served) {
				best = c
			}
		}
		if best != nil {
			return best
		}
		q.forgivePasses()
	}
}

// forgivePasses lets all classes be asked again.
func (q *Queue) forgivePasses() {
	for i := range q.classes {
		q.classes[i].passed = false
	}
}

// charge notes that a class has sent bytes, and tells whether it is the turn of
// another now.
func (q *Queue) charge(id uint8, bytes int) (yield bool) {
	c := &q.classes[id]
	q.served = c.served
	c.served += uint64(bytes) * costs[id]
	q.forgivePasses()
	for i := range q.classes {
		o := &q.classes[i]
		yield = yield || o.packets > 0 && o.served < c.served
	}
	return yield
}

// sharers is how many flows of equal share would leave each of them what a flow
// of a class has.
func (q *Queue) sharers(id uint8) float64 {
	var sum uint64
	for i := range q.classes {
		if q.classes[i].flows() > 0 {
			sum += weights[i]
		}
	}
	return max(1, float64(q.classes[id].flows())*float64(sum)/float64(weights[id]))
}

// Sharers is how many flows of equal share would leave each of them what the
// flow whose turn it is has: without priorities the number of flows.
func (q *Queue) Sharers() int {
	if !q.Waiting() {
		return q.Flows()
	}
	return int(q.sharers(q.turn().class) + 0.5)
}

// flows is the number of buckets that wait. One that takes turns and has nothing
// now, such as a ping's, has no share.
func (c *class) flows() int { return c.waiting }

// turn returns the bucket whose turn it is in a class that has packets.
func (c *class) turn() *bucket {
	for {
		list := &c.fresh
		if list.n == 0 {
			list = &c.old
		}
		switch b := list.front(); {
		case b.len() == 0:
			// A fresh bucket that empties takes its place among the old ones, so
			// that it cannot come back as fresh at once.
			list.pop()
			if list == &c.fresh && c.old.n > 0 {
				c.old.push(b)
			} else {
				b.listed = false
			}
		case b.deficit <= 0:
			b.deficit += quantum
			list.pop()
			c.old.push(b)
		default:
			return b
		}
	}
}

// pass ends the turn of the bucket whose turn it is: it goes behind the others.
func (c *class) pass(b *bucket) {
	list := &c.fresh
	if list.n == 0 || list.front() != b {
		list = &c.old
	}
	if b.len() > 0 {
		list.pop()
		b.deficit = min(b.deficit, 0) + quantum
		c.old.push(b)
	}
}
