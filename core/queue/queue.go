// Package queue holds the packets that wait for a link. It is shared by all
// links, so that which link takes a packet is decided as late as can be, and it
// is the only place where congestion is turned into a drop that the inner
// sender sees.
package queue

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Queue is a bounded first-in-first-out queue, out of which a scheduler may
// also take packets from behind the head. It gives each packet its sequence
// numbers when it accepts it. It implements sched.Queue.
type Queue struct {
	packets []*packet.Packet
	head    int
	bytes   int
	limit   int

	sequence uint32
	buckets  [wire.Buckets]uint16
	carried  [core.MaxLinks]*carried

	signal signal
}

// carried is the highest sequence of each bucket that a link took first.
type carried struct {
	sequence [wire.Buckets]uint16
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
}

// Verdict is what became of a packet offered to the queue.
type Verdict int

// The verdicts.
const (
	Accepted Verdict = iota
	Full             // no room
	Signal           // dropped to tell the inner sender of congestion
)

// Push offers a packet; the queue takes the reference when it accepts it.
func (q *Queue) Push(now core.Time, p *packet.Packet, c Conditions) Verdict {
	if q.bytes+len(p.Data) > q.limit {
		return Full
	}
	if c.Rate > 0 && q.signal.due(now, float64(q.bytes), c) {
		return Signal
	}
	b := bucketOf(p)
	p.Since = now
	p.Header.Bucket = b
	p.Header.BucketSequence = q.buckets[b]
	p.Header.Sequence = q.sequence
	q.buckets[b]++
	q.sequence++
	q.compact()
	q.packets = append(q.packets, p)
	q.bytes += len(p.Data)
	return Accepted
}

func bucketOf(p *packet.Packet) uint8 {
	if p.Header.Flags&wire.LowLatency != 0 {
		return wire.Unordered
	}
	return uint8(1 + p.Flow%(wire.Buckets-1))
}

func (q *Queue) compact() {
	if q.head > 64 && q.head*2 >= len(q.packets) {
		n := copy(q.packets, q.packets[q.head:])
		clear(q.packets[n:])
		q.packets = q.packets[:n]
		q.head = 0
	}
}

// Take removes the i-th packet and passes its reference to the caller.
func (q *Queue) Take(i int) *packet.Packet {
	p := q.packets[q.head+i]
	copy(q.packets[q.head+1:q.head+i+1], q.packets[q.head:q.head+i])
	q.packets[q.head] = nil
	q.head++
	q.bytes -= len(p.Data)
	if q.head == len(q.packets) {
		q.packets, q.head = q.packets[:0], 0
	}
	return p
}

// Carried notes that a link was the first to take p.
func (q *Queue) Carried(id core.LinkID, p *packet.Packet) {
	c := q.carried[id]
	if c == nil {
		c = &carried{}
		q.carried[id] = c
	}
	b := p.Header.Bucket
	if !c.set[b] || int16(p.Header.BucketSequence-c.sequence[b]) > 0 {
		c.set[b], c.sequence[b] = true, p.Header.BucketSequence
	}
}

// Forget drops what is known of a link that is gone.
func (q *Queue) Forget(id core.LinkID) { q.carried[id] = nil }

// Len is the number of packets waiting.
func (q *Queue) Len() int { return len(q.packets) - q.head }

// Bytes is the number of bytes waiting.
func (q *Queue) Bytes() int { return q.bytes }

// At returns the i-th waiting packet as a scheduler sees it.
func (q *Queue) At(i int) sched.Packet {
	p := q.packets[q.head+i]
	return sched.Packet{
		Len: len(p.Data), Flow: p.Flow, Bucket: p.Header.Bucket,
		Sequence: p.Header.BucketSequence, Since: p.Since,
	}
}

// Find returns the index of the packet at a byte offset from the head, taking
// all packets as equally long: near enough for a scheduler, and free of a walk.
func (q *Queue) Find(offset int) int {
	if q.bytes == 0 {
		return 0
	}
	return min(int(int64(offset)*int64(q.Len())/int64(q.bytes)), q.Len()-1)
}

// LastSequence is the highest sequence of a bucket that a link took first.
func (q *Queue) LastSequence(id core.LinkID, bucket uint8) (uint16, bool) {
	c := q.carried[id]
	if c == nil {
		return 0, false
	}
	return c.sequence[bucket], c.set[bucket]
}
