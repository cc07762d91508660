package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// AckDelay is how long the first datagram waits for its report at most.
const AckDelay = 5 * time.Millisecond

// Acknowledgement timing: a report is due when ackEvery datagrams wait for one
// and the last is ackGap ago, when the first has waited AckDelay, or at once
// when a gap shows.
const (
	ackEvery = 16
	ackGap   = time.Millisecond
)

// Receiver is the receiving half of a link: what arrived, and what of it is
// still to be reported.
type Receiver struct {
	ranges   [wire.MaxRanges]wire.Range // newest first
	nRanges  int
	arrivals [wire.MaxArrivals]wire.Arrival // newest first
	nNew     int                            // arrivals since the last report

	waiting int       // ack-eliciting datagrams since the last report
	since   core.Time // when the first of them arrived
	urgent  bool      // a gap showed since the last report
	acked   core.Time // when the last report was built
	rare    bool      // reports only as often as AckDelay asks for

	lastReceived core.Time
	pace         time.Duration // average time between datagrams
	loss         float64

	stats ReceiverStats
}

// ReceiverStats count what a link received.
type ReceiverStats struct {
	Bytes, Datagrams uint64 // bytes from the outer IP header on
	Missing          uint64 // numbers skipped, some of which may have come later
}

// Received takes the number of an authentic, new datagram of size bytes from
// the outer IP header on, which arrived at now. It returns the numbers that it
// shows missing: from gap.First to gap.Last when missing is true.
func (r *Receiver) Received(now core.Time, number uint64, size int, eliciting bool) (gap wire.Range, missing bool) {
	r.stats.Bytes += uint64(size)
	r.stats.Datagrams++
	r.pace += (now.Sub(r.lastReceived) - r.pace) / 8
	r.lastReceived = now
	if eliciting {
		if r.waiting == 0 {
			r.since = now
		}
		r.waiting++
	}
	r.arrived(now, number)
	return r.insert(number)
}

// arrived remembers the time of the highest number; what came at the same
// instant shares an entry.
func (r *Receiver) arrived(now core.Time, number uint64) {
	if r.nRanges > 0 && number < r.ranges[0].Last {
		return
	}
	at := now / 1000 * 1000
	if r.nNew > 0 && r.arrivals[0].At >= at {
		r.arrivals[0].Number = number
		return
	}
	r.nNew = min(r.nNew+1, len(r.arrivals))
	copy(r.arrivals[1:r.nNew], r.arrivals[:])
	r.arrivals[0] = wire.Arrival{Number: number, At: at}
}

// insert adds number to the ranges; the oldest is forgotten when there are too
// many.
func (r *Receiver) insert(number uint64) (gap wire.Range, missing bool) {
	r.loss -= r.loss * lossGain
	if r.nRanges == 0 {
		// What came before the first datagram is unknown, not lost.
		r.pushRange(0, wire.Range{First: number, Last: number})
		return gap, false
	}
	newest := &r.ranges[0]
	switch {
	case number == newest.Last+1:
		newest.Last = number
		return gap, false
	case number > newest.Last:
		gap = wire.Range{First: newest.Last + 1, Last: number - 1}
		n := gap.Last - gap.First + 1
		r.stats.Missing += n
		for range min(n, 1024) {
			r.loss += (1 - r.loss) * lossGain
		}
		r.urgent = true
		r.pushRange(0, wire.Range{First: number, Last: number})
		return gap, true
	}
	r.fill(number)
	return gap, false
}

// fill adds a number below the newest.
func (r *Receiver) fill(number uint64) {
	for i := range r.nRanges {
		v := &r.ranges[i]
		switch {
		case number >= v.First && number <= v.Last:
			return
		case number == v.Last+1:
			v.Last = number
			if i > 0 && r.ranges[i-1].First == number+1 {
				v.Last = r.ranges[i-1].Last
				r.removeRange(i - 1)
			}
			return
		case number+1 == v.First:
			v.First = number
			if i+1 < r.nRanges && r.ranges[i+1].Last+1 == number {
				v.First = r.ranges[i+1].First
				r.removeRange(i + 1)
			}
			return
		case number > v.Last:
			r.pushRange(i, wire.Range{First: number, Last: number})
			return
		}
	}
	if r.nRanges < len(r.ranges) {
		r.pushRange(r.nRanges, wire.Range{First: number, Last: number})
	}
}

func (r *Receiver) pushRange(at int, v wire.Range) {
	r.nRanges = min(r.nRanges+1, len(r.ranges))
	copy(r.ranges[at+1:r.nRanges], r.ranges[at:])
	r.ranges[at] = v
}

func (r *Receiver) removeRange(at int) {
	copy(r.ranges[at:], r.ranges[at+1:r.nRanges])
	r.nRanges--
}

// SetRare makes reports of a busy link as rare as the protocol allows: one for
// each AckDelay, however much arrives. Gaps are reported at once as ever.
func (r *Receiver) SetRare(rare bool) { r.rare = rare }

// AckDue is when a report must go out: now or earlier, later, or Never.
func (r *Receiver) AckDue() core.Time {
	switch {
	case !r.Pending():
		return core.Never
	case r.urgent:
		return 0
	case r.waiting >= ackEvery && !r.rare:
		return min(r.acked.Add(ackGap), r.since.Add(AckDelay))
	}
	return r.since.Add(AckDelay)
}

// Pending tells whether the peer waits for a report.
func (r *Receiver) Pending() bool { return r.waiting > 0 || r.urgent }

// Report fills a with what arrived and starts to gather anew. There must be
// something received before. The slices of a point into r.
func (r *Receiver) Report(now core.Time, id core.LinkID, a *wire.Ack) {
	a.Link = id
	a.Delay = max(0, now.Sub(r.arrivals[0].At))
	a.Ranges = r.ranges[:r.nRanges]
	// Without a new highest number the last one is named again.
	a.Arrivals = r.arrivals[:max(r.nNew, 1)]
	r.nNew, r.waiting, r.urgent, r.acked = 0, 0, false, now
}
