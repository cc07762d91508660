package meter

// This file counts reordered packets as RFC 4737 section 3.3 defines them: a
// packet is reordered when it arrives after one that was sent later. Duplicates
// count neither as packets nor as reordered.

// Order counts over packets that carry their own number, 0 up.
type Order struct {
	Received, Reordered, Duplicates int

	next uint64
	seen []uint64 // one bit a number
}

// Arrive counts packet number n; it says whether it is no duplicate. Numbers
// must be bounded by the caller: a bit is kept for each.
func (o *Order) Arrive(n uint64) bool {
	word, bit := int(n/64), uint64(1)<<(n%64)
	for len(o.seen) <= word {
		o.seen = append(o.seen, 0)
	}
	if o.seen[word]&bit != 0 {
		o.Duplicates++
		return false
	}
	o.seen[word] |= bit
	o.Received++
	if n < o.next {
		o.Reordered++
	} else {
		o.next = n + 1
	}
	return true
}

// Segment is what TCPOrder needs to know of a TCP segment.
type Segment struct {
	Sequence uint32
	Payload  int // bytes
	Packets  int // on the wire: more than 1 for a super-packet
	SYN      bool
	Stamped  bool   // has a timestamp (RFC 7323)
	Stamp    uint32 // the sender's clock
}

// TCPOrder counts over the segments of one direction of a TCP connection. Its
// numbers are sequence numbers, which a retransmission repeats: a late segment
// is a reordered packet only if its sender's timestamp shows that it was sent
// no later than the segment that overtook it. That clock ticks in milliseconds:
// over a path that is faster than that, a retransmission can pass for a
// reordered packet.
//
// A segment of which nothing is missing any more is a duplicate: its sender sent
// it again though it had arrived, or the network copied it.
type TCPOrder struct {
	Received, Reordered, Duplicates int

	started bool
	next    uint32
	gaps    []gap
}

// gap is a range of sequence numbers that was overtaken.
type gap struct {
	from, to uint32
	stamp    uint32 // of the segment that overtook it
}

// maxGaps bounds the gaps remembered of one connection. Of the oldest beyond,
// late segments pass for duplicates.
const maxGaps = 1024

// Arrive counts a segment.
func (o *TCPOrder) Arrive(s Segment) {
	if s.SYN {
		o.started, o.next = true, s.Sequence+1
		return
	}
	if s.Payload <= 0 {
		return
	}
	if !o.started {
		o.started, o.next = true, s.Sequence
	}
	end := s.Sequence + uint32(s.Payload)
	if !before(s.Sequence, o.next) {
		if s.Sequence != o.next {
			o.gaps = append(o.gaps, gap{o.next, s.Sequence, s.Stamp})
			if len(o.gaps) > maxGaps {
				o.gaps = o.gaps[1:]
			}
		}
		o.Received += s.Packets
		o.next = end
		return
	}
	overtaker, late := o.fill(s.Sequence, end)
	further := before(o.next, end)
	if further {
		o.next = end
	}
	if late || further {
		o.Received += s.Packets
	} else {
		o.Duplicates += s.Packets
	}
	if late && (!s.Stamped || !before(overtaker, s.Stamp)) {
		o.Reordered += s.Packets
	}
}

// fill removes [from, to) from the gaps. It returns the timestamp of the
// segment that overtook it, and whether there was any gap.
func (o *TCPOrder) fill(from, to uint32) (stamp uint32, found bool) {
	if len(o.gaps) == 0 {
		return 0, false
	}
	kept := make([]gap, 0, len(o.gaps)+1)
	for _, g := range o.gaps {
		if !before(from, g.to) || !before(g.from, to) {
			kept = append(kept, g)
			continue
		}
		if !found {
			stamp, found = g.stamp, true
		}
		if before(g.from, from) {
			kept = append(kept, gap{g.from, from, g.stamp})
		}
		if before(to, g.to) {
			kept = append(kept, gap{to, g.to, g.stamp})
		}
	}
	o.gaps = kept
	return stamp, found
}

// before compares 32-bit numbers that wrap (RFC 9293 section 3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }
