// Package queue holds the packets that wait for a link. It is shared by all
// links, so that which link takes a packet is decided as late as can be, and it
// is the only place where congestion is turned into a drop that the inner
// sender sees.
//
// Packets wait per flow bucket and the buckets take turns by deficit round
// robin, new ones first, as in FQ-CoDel (RFC 8290): a sparse flow never waits
// behind a bulk one. In place of CoDel's fixed target stands a signal that
// knows the links' rates and delays, see Conditions. Packets of low latency
// wait apart, see Urgent; classes of priority share by weight, see SetClasses.
package queue

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// quantum is what a bucket may send in a turn, in bytes.
const quantum = core.FullPacket

// Queue is a bounded fair queue. It implements sched.Queue for the bucket whose
// turn it is; a scheduler may also take packets from behind the head. Each
// packet gets its bucket's sequence when it is accepted, and the session's when
// it is taken.
type Queue struct {
	buckets [wire.Buckets]*bucket
	classes [Classes]class
	split   bool    // flows of each class have buckets of their own
	served  uint64  // virtual time: that of the class served last, see class
	current *bucket // whose turn it is; nil: to be found

	packets, bytes int
	limit          int

	sequence uint32
	carried  [core.MaxLinks]*carried
}

// bucket is the queue of a flow, or of several where there are too many, see
// bucketOf.
type bucket struct {
	id       uint8
	flow     uint32    // whose it is
	at       core.Time // of that flow's last packet
	class    uint8     // of the flows in it; fixed while it is listed
	packets  []*packet.Packet
	head     int
	bytes    int
	deficit  int
	listed   bool   // in fresh or old of its class
	sequence uint32 // of the next packet; 16 bits of it are sent
	signal   signal
}

func (b *bucket) len() int { return len(b.packets) - b.head }

// carried is the highest sequence of each bucket that a link took first.
type carried struct {
	sequence [wire.Buckets]uint32
	set      [wire.Buckets]bool
}

// New makes a queue of at most limit bytes.
func New(limit int) *Queue { return &Queue{limit: limit} }

// Conditions are what the links allow at the moment, for the decision whether
// a packet is accepted.
type Conditions struct {
	// Rate is the sum of the links' rates in bytes/s; 0 when no link has
	// one, which turns the congestion signal off.
	Rate float64
	// RTT is the largest round-trip time of the links in use, with the time of
	// a repair where the link needs one.
	RTT time.Duration
	// Ahead is the backlog in bytes that the scheduler needs in order to use
	// the slowest link, which is no congestion.
	Ahead float64

	least float64 // a backlog of so many bytes is no congestion
	cut   float64 // by what its class makes a flow's share smaller than an even one
}

// Verdict is what became of a packet offered to the queue.
type Verdict int

// The verdicts.
const (
	Accepted Verdict = iota
	Full             // no room
	Signal           // dropped to tell the inner sender of congestion
)

// Push offers a packet; the queue takes the reference when it accepts it. A
// bucket may fill as much as is left for the others: so one flow alone gets
// half of the limit, and never all of it.
func (q *Queue) Push(now core.Time, p *packet.Packet, c Conditions) Verdict {
	b := q.bucket(now, p)
	if b.bytes+len(p.Data) > q.limit-q.bytes {
		return Full
	}
	if c.Rate > 0 && b.id != wire.Unordered {
		share := 1.0 // what it would have alone: a first packet is no congestion
		if b.len() > 0 {
			share = q.sharers(b.class)
			if c.cut = share / float64(max(1, q.Flows())); c.cut > 1 {
				c.least = leastShare
			}
		}
		c.Rate /= share
		c.Ahead /= share
		if b.signal.due(now, float64(b.bytes), c) {
			return Signal
		}
	}
	p.Since = now
	p.Header.Bucket = b.id
	p.Header.BucketSequence = uint16(b.sequence)
	b.sequence++
	b.compact()
	if b.id != wire.Unordered {
		q.list(b)
	}
	b.packets = append(b.packets, p)
	b.bytes += len(p.Data)
	q.packets++
	q.bytes += len(p.Data)
	return Accepted
}

func (q *Queue) bucket(now core.Time, p *packet.Packet) *bucket {
	if p.Header.Flags&wire.LowLatency != 0 {
		return q.made(wire.Unordered)
	}
	return q.bucketOf(now, p.Flow, p.Class)
}

// outer is the length of what waits as links count it.
func (b *bucket) outer() int { return b.bytes + b.len()*wire.Overhead }

func (b *bucket) compact() {
	if b.head > 64 && b.head*2 >= len(b.packets) {
		n := copy(b.packets, b.packets[b.head:])
		clear(b.packets[n:])
		b.packets, b.head = b.packets[:n], 0
	}
}

// Take removes the i-th packet of the bucket whose turn it is and passes its
// reference to the caller. last says that the turn has ended with it, and with it
// the run of packets of one flow; where no other flow waits, turns follow one
// another without an end.
func (q *Queue) Take(i int) (p *packet.Packet, last bool) {
	b := q.turn()
	p = q.remove(b, i)
	yield := q.charge(b.class, len(p.Data))
	b.deficit -= len(p.Data)
	switch {
	case b.len() == 0 || b.deficit <= 0:
		q.endTurn()
	case yield:
		q.current = nil // and goes on when it is its class's turn again
	}
	return p, b.len() == 0 || q.Flows() > 1 && q.current == nil
}

// Urgent is the number of packets of low latency that wait. They are not part
// of the turns: TakeUrgent removes the first of them, of which there must be
// one.
func (q *Queue) Urgent() int {
	if b := q.buckets[wire.Unordered]; b != nil {
		return b.len()
	}
	return 0
}

// TakeUrgent removes the first packet of low latency and passes its reference
// to the caller.
func (q *Queue) TakeUrgent() *packet.Packet { return q.remove(q.buckets[wire.Unordered], 0) }

// remove takes the i-th packet out of a bucket.
func (q *Queue) remove(b *bucket, i int) *packet.Packet {
	p := b.packets[b.head+i]
	copy(b.packets[b.head+1:b.head+i+1], b.packets[b.head:b.head+i])
	b.packets[b.head] = nil
	b.head++
	b.bytes -= len(p.Data)
	if b.id != wire.Unordered {
		c := &q.classes[b.class]
		c.packets--
		if b.len() == 0 {
			c.waiting--
		}
	}
	q.packets--
	q.bytes -= len(p.Data)
	p.Header.Sequence = q.sequence
	q.sequence++
	if b.len() == 0 {
		b.packets, b.head = b.packets[:0], 0
	}
	return p
}

// turn returns the bucket whose turn it is. A packet must be Waiting.
func (q *Queue) turn() *bucket {
	if q.current == nil {
		q.current = q.nextClass().turn()
	}
	return q.current
}

// Pass ends the turn of the present bucket: the next one is asked, of another
// class if there is one.
func (q *Queue) Pass() {
	if q.current != nil {
		q.classes[q.current.class].passed = true
	}
	q.endTurn()
}

// endTurn puts the present bucket behind the others of its class.
func (q *Queue) endTurn() {
	if q.current != nil {
		q.classes[q.current.class].pass(q.current)
	}
	q.current = nil
}

// Carried notes that a link was the first to take p.
func (q *Queue) Carried(id core.LinkID, p *packet.Packet) {
	c := q.carried[id]
	if c == nil {
		c = &carried{}
		q.carried[id] = c
	}
	b := p.Header.Bucket
	next := q.buckets[b].sequence
	sequence := next - uint32(uint16(next)-p.Header.BucketSequence)
	if !c.set[b] || int32(sequence-c.sequence[b]) > 0 {
		c.set[b], c.sequence[b] = true, sequence
	}
}

// Forget drops what is known of a link that is gone.
func (q *Queue) Forget(id core.LinkID) { q.carried[id] = nil }

// Trim gives back the memory that empty buckets took.
func (q *Queue) Trim() {
	for _, b := range q.buckets {
		if b != nil && b.len() == 0 && cap(b.packets) > 0 {
			b.packets, b.head = nil, 0
		}
	}
}

// Empty tells whether nothing waits.
func (q *Queue) Empty() bool { return q.packets == 0 }

// Waiting tells whether a packet waits that is not urgent.
func (q *Queue) Waiting() bool { return q.packets > q.Urgent() }

// Total is the number of bytes waiting, of all buckets.
func (q *Queue) Total() int { return q.bytes }

// Flows is the number of buckets that wait for their turn.
func (q *Queue) Flows() int {
	n := 0
	for i := range q.classes {
		n += q.classes[i].flows()
	}
	return n
}

// Len is the number of packets of the bucket whose turn it is.
func (q *Queue) Len() int {
	if !q.Waiting() {
		return 0
	}
	return q.turn().len()
}

// Bytes is the number of bytes that the bucket whose turn it is will take on a
// link: small packets, such as acknowledgements, are twice as long there.
func (q *Queue) Bytes() int {
	if !q.Waiting() {
		return 0
	}
	return q.turn().outer()
}

// At returns the i-th waiting packet of the bucket whose turn it is, as a
// scheduler sees it.
func (q *Queue) At(i int) sched.Packet {
	b := q.turn()
	p := b.packets[b.head+i]
	return sched.Packet{
		Len: len(p.Data), Flow: p.Flow, Bucket: p.Header.Bucket,
		Sequence: p.Header.BucketSequence, Since: p.Since,
	}
}

// Find returns the index of the packet at a byte offset from the head, taking
// all packets as equally long: near enough for a scheduler, and free of a walk.
func (q *Queue) Find(offset int) int {
	b := q.turn()
	return min(int(int64(offset)*int64(b.len())/int64(max(1, b.outer()))), b.len()-1)
}

// LastSequence is the highest sequence of a bucket that a link took first. One
// so long ago that 16 bits could take it for a later one is none.
func (q *Queue) LastSequence(id core.LinkID, bucket uint8) (uint16, bool) {
	c := q.carried[id]
	if c == nil || !c.set[bucket] || q.buckets[bucket].sequence-c.sequence[bucket] >= 1<<15 {
		return 0, false
	}
	return uint16(c.sequence[bucket]), true
}

// Sparse tells whether the bucket whose turn it is had nothing waiting of late and
// has no more now than it may send in its first turn.
func (q *Queue) Sparse() bool {
	if !q.Waiting() {
		return false
	}
	b := q.turn()
	fresh := &q.classes[b.class].fresh
	return fresh.n > 0 && fresh.front() == b && b.bytes <= b.deficit
}

// Turn is the bucket whose turn it is. A packet must be Waiting.
func (q *Queue) Turn() uint8 { return q.turn().id }
