package traffic

// This file counts reordered packets as RFC 4737 section 3.3 defines them: a
// packet is reordered when it arrives after one that was sent later. Duplicates
// count neither as packets nor as reordered.

// order counts over packets that carry their own number, 0 up.
type order struct {
	next      uint64
	seen      []uint64 // one bit a number
	received  int
	reordered int
}

// arrive counts packet number n; it says whether it is no duplicate. Numbers
// must be bounded by the caller: a bit is kept for each.
func (o *order) arrive(n uint64) bool {
	word, bit := int(n/64), uint64(1)<<(n%64)
	for len(o.seen) <= word {
		o.seen = append(o.seen, 0)
	}
	if o.seen[word]&bit != 0 {
		return false
	}
	o.seen[word] |= bit
	o.received++
	if n < o.next {
		o.reordered++
	} else {
		o.next = n + 1
	}
	return true
}

// tcpOrder counts over the segments of one direction of a TCP connection. Its
// numbers are sequence numbers, which a retransmission repeats: a late segment
// is a reordered packet only if its sender's timestamp (RFC 7323) shows that it
// was sent no later than the segment that overtook it. That clock ticks in
// milliseconds: over a path that is faster than that, a retransmission can pass
// for a reordered packet.
type tcpOrder struct {
	started   bool
	next      uint32
	gaps      []gap
	received  int
	reordered int
}

// gap is a range of sequence numbers that was overtaken.
type gap struct {
	from, to uint32
	stamp    uint32 // of the segment that overtook it
}

// maxGaps bounds the gaps remembered of one connection. Of the oldest beyond,
// late segments pass for duplicates.
const maxGaps = 1024

// segment is what order needs to know of a TCP segment.
type segment struct {
	seq     uint32
	payload int
	// packets is how many packets on the wire it stands for.
	packets int
	syn     bool
	stamped bool
	stamp   uint32
}

func (o *tcpOrder) arrive(s segment) {
	if s.syn {
		o.started, o.next = true, s.seq+1
		return
	}
	if s.payload <= 0 {
		return
	}
	if !o.started {
		o.started, o.next = true, s.seq
	}
	end := s.seq + uint32(s.payload)
	switch {
	case !before(s.seq, o.next):
		if s.seq != o.next {
			o.gaps = append(o.gaps, gap{o.next, s.seq, s.stamp})
			if len(o.gaps) > maxGaps {
				o.gaps = o.gaps[1:]
			}
		}
		o.received += s.packets
		o.next = end
	default:
		overtaker, late := o.fill(s.seq, end)
		further := before(o.next, end)
		if further {
			o.next = end
		}
		if late || further {
			o.received += s.packets
		}
		if late && (!s.stamped || !before(overtaker, s.stamp)) {
			o.reordered += s.packets
		}
	}
}

// fill removes [from, to) from the gaps. It returns the timestamp of the
// segment that overtook it, and whether there was any gap.
func (o *tcpOrder) fill(from, to uint32) (stamp uint32, found bool) {
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

// share is n of all, 0 of none.
func share(n, all int) float64 {
	if all == 0 {
		return 0
	}
	return float64(n) / float64(all)
}
