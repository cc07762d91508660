package reseq

import (
	"math/bits"
	"slices"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// flow puts the packets of each flow bucket in order, so that a flow waits for
// none but its own packets. A gap is given up as soon as it is certain that the
// packet will not come: links deliver in order, so it is lost once every link
// that is alive has delivered a later one (the rule of multilink PPP,
// RFC 1990, section 4.1), unless a repair is on its way. The hold time bounds
// the wait where that cannot be known.
type flow struct {
	buckets  [wire.Buckets]*bucket
	waiting  []*bucket // those that hold something
	stats    Stats
	deadline core.Time
}

// bucket is the order of the flows that share a bucket.
type bucket struct {
	stream
	// Of each link: the highest sequence it carried first, if it did.
	highest [core.MaxLinks]uint32
	carried [core.MaxLinks]bool
	listed  bool // in waiting
}

func newFlow() *flow { return &flow{deadline: core.Never} }

func (*flow) Name() string { return "flow" }

func (f *flow) Push(e *Env, a *Arrival, out Sink) {
	if a.Header.Bucket == wire.Unordered {
		out.Deliver(a.Packet, nil)
		return
	}
	b := f.buckets[a.Header.Bucket]
	if b == nil {
		b = &bucket{}
		b.stream.stats = &f.stats
		f.buckets[a.Header.Bucket] = b
	}
	seq := b.unwrap(a.Header.BucketSequence)
	if a.Header.Flags&wire.Repaired == 0 {
		if !b.carried[a.Link] || int32(seq-b.highest[a.Link]) > 0 {
			b.highest[a.Link] = seq
		}
		b.carried[a.Link] = true
	}
	if b.overtakes(seq, a) {
		b.overtake(e, seq, a, out)
	} else {
		b.push(e, seq, a, out)
	}
	b.settle(e, out)
	if b.held > 0 && !b.listed {
		b.listed = true
		f.waiting = append(f.waiting, b)
	}
	f.review(e)
}

// overtakes tells whether a packet may pass those before it: a TCP
// acknowledgement without data, of which the later says all that the earlier did
// (RFC 9293, section 3.10.7.4). To hold those that follow a lost one would look to
// the sender of the data like a queue, and end its slow start (HyStart, RFC 9406).
func (b *bucket) overtakes(seq uint32, a *Arrival) bool {
	if !b.started || int32(seq-b.next) <= 0 || !b.room(seq) {
		return false
	}
	s, ok := parseSegment(a.Packet.Data)
	return ok && s.pure()
}

// overtake delivers a packet that waits for none. Where nothing else waits for the
// gap before it, that is given up as soon as it is certain: there is no deadline.
func (b *bucket) overtake(e *Env, seq uint32, a *Arrival, out Sink) {
	b.pass(seq)
	out.Deliver(a.Packet, nil)
	if b.held == 0 && e.OpenGaps == 0 && b.certain(e) {
		b.stats.GapsSkipped += b.stepOver(out)
	}
}

// unwrap extends a sequence of 16 bits to the one nearest to what is due.
func (b *bucket) unwrap(seq uint16) uint32 {
	if !b.started {
		return 1<<16 + uint32(seq)
	}
	return b.next + uint32(int32(int16(seq-uint16(b.next))))
}

// settle gives up the gaps that are certain.
func (b *bucket) settle(e *Env, out Sink) {
	for b.held > 0 && e.OpenGaps == 0 && b.certain(e) {
		b.giveUp(out)
	}
}

// certain tells whether every link has delivered something later than the
// packet that is due. A link that has carried nothing of the bucket yet may be
// about to: it counts too.
func (b *bucket) certain(e *Env) bool {
	for set := e.Links; set != 0; set &= set - 1 {
		i := bits.TrailingZeros16(set)
		if !b.carried[i] || int32(b.highest[i]-b.next) <= 0 {
			return false
		}
	}
	return true
}

func (f *flow) HandleTimeout(e *Env, out Sink) {
	for _, b := range f.waiting {
		b.settle(e, out)
		b.expire(e, out)
	}
	f.review(e)
}

// review forgets the buckets that hold nothing any more and finds the next
// deadline.
func (f *flow) review(e *Env) {
	f.deadline = core.Never
	f.waiting = slices.DeleteFunc(f.waiting, func(b *bucket) bool {
		b.listed = b.held > 0
		f.deadline = min(f.deadline, b.stream.deadline(e))
		return !b.listed
	})
}

func (f *flow) NextTimeout() core.Time { return f.deadline }

func (f *flow) Flush(out Sink) {
	for _, b := range f.waiting {
		b.flush(out)
		b.listed = false
	}
	f.waiting, f.deadline = f.waiting[:0], core.Never
}

func (f *flow) Stats() Stats {
	st := f.stats
	for _, b := range f.waiting {
		st.HeldBytes += b.bytes
		st.HeldPackets += b.held
	}
	return st
}
