package queue

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

const (
	// ways is how many buckets a flow may be put in. With one, a flow shares
	// the bucket of one bulk flow in 255 cases, and then waits behind it; with
	// eight, as in CAKE (Høiland-Jørgensen, Täht and Morton, LANMAN 2018), it
	// does not until the eight are in use.
	ways = 8
	// keepBucket is how long a bucket stays its flow's after the last packet:
	// until what was sent has arrived, since flows of different buckets are not
	// kept in order.
	keepBucket = time.Second
)

// bucketOf is the bucket of a flow, one of its ways: the one it has, else the
// first that is nobody's any more, else the first, which it shares.
func (q *Queue) bucketOf(now core.Time, flow uint32, class uint8) *bucket {
	first, space := uint32(1), uint32(wire.Buckets-1)
	if q.split {
		first, space = bucketSpace[class], bucketSpace[class+1]-bucketSpace[class]
	}
	const none = wire.Unordered // which is nobody's way
	found := uint32(none)
	for i := range uint32(ways) {
		id := first + (flow+i)%space
		b := q.buckets[id]
		if b != nil && b.flow == flow {
			b.at = now
			return b
		}
		if found == none && (b == nil || b.free(now)) {
			found = id
		}
	}
	if found == none {
		return q.buckets[first+flow%space]
	}
	b := q.made(uint8(found))
	b.flow, b.at = flow, now
	return b
}

// free tells whether a bucket is nobody's any more.
func (b *bucket) free(now core.Time) bool { return b.len() == 0 && now.Sub(b.at) >= keepBucket }

// made is a bucket, which is made when it is asked for first.
func (q *Queue) made(id uint8) *bucket {
	if q.buckets[id] == nil {
		q.buckets[id] = &bucket{id: id}
	}
	return q.buckets[id]
}
