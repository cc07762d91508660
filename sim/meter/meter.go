// Package meter measures what arrives at an application: goodput, stalls,
// delays and reordering. It holds what a traffic found, by the names it has on
// both backends, and what the generators of both keep to. It has no clock: times
// are times of the run, passed in.
package meter

import (
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
)

// BinWidth is the resolution of a goodput series.
const BinWidth = 100 * time.Millisecond

// Meter watches one stream of bytes arrive at an application.
type Meter struct {
	// Warm is when the warm-up ends: bytes from then on count for the goodput.
	Warm time.Duration

	bytes, warmBytes int64
	waiting          time.Duration // since when the application waits for bytes
	last             time.Duration // of the last delivery
	stall            time.Duration
	bins             []int64
}

// Wait says that the application begins to wait for bytes.
func (m *Meter) Wait(now time.Duration) { m.waiting = now }

// Deliver counts n bytes handed to the application.
func (m *Meter) Deliver(now time.Duration, n int) {
	m.bytes += int64(n)
	if now >= m.Warm {
		m.warmBytes += int64(n)
	}
	m.Idle(now)
	m.waiting, m.last = now, now
	bin := int(max(now, 0) / BinWidth)
	for len(m.bins) <= bin {
		m.bins = append(m.bins, 0)
	}
	m.bins[bin] += int64(n)
}

// Idle says that the application still waits, or gave up waiting, at now.
func (m *Meter) Idle(now time.Duration) { m.stall = max(m.stall, now-m.waiting) }

// Bytes is how many bytes were delivered, Last when the last of them were.
func (m *Meter) Bytes() int64        { return m.bytes }
func (m *Meter) Last() time.Duration { return m.last }

// Total is what several meters found together.
type Total struct {
	Bytes       int64
	Stall, Last time.Duration // Stall is the longest of any

	warmBytes int64
	bins      []int64
}

// Sum adds up meters.
func Sum(meters ...*Meter) Total {
	var t Total
	for _, m := range meters {
		t.Bytes += m.bytes
		t.warmBytes += m.warmBytes
		t.Stall = max(t.Stall, m.stall)
		t.Last = max(t.Last, m.last)
		for i, n := range m.bins {
			if len(t.bins) <= i {
				t.bins = append(t.bins, 0)
			}
			t.bins[i] += n
		}
	}
	return t
}

// Goodput is the rate of delivery in bit/s between the end of the warm-up and
// the end of the traffic; of a traffic that ended before its warm-up, the rate
// over all of it.
func (t Total) Goodput(start, warm, end time.Duration) float64 {
	bytes, from := t.warmBytes, warm
	if end <= warm {
		bytes, from = t.Bytes, start
	}
	if end <= from {
		return 0
	}
	return float64(bytes) * 8 / (end - from).Seconds()
}

// Series is the goodput over time in bit/s, from the bin of start on, up to
// and without the bin that end cuts off.
func (t Total) Series(start, end time.Duration) report.Series {
	var s report.Series
	for bin := int(start / BinWidth); bin < int(end/BinWidth); bin++ {
		n := int64(0)
		if bin < len(t.bins) {
			n = t.bins[bin]
		}
		s.T = append(s.T, (time.Duration(bin) * BinWidth).Seconds())
		s.V = append(s.V, float64(n)*8/BinWidth.Seconds())
	}
	return s
}

// Share is n of all, 0 of none.
func Share(n, all int) float64 {
	if all == 0 {
		return 0
	}
	return float64(n) / float64(all)
}
