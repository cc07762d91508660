package traffic

import (
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
)

// binWidth is the resolution of a goodput series.
const binWidth = 100 * time.Millisecond

// meter watches one stream of bytes arrive at an application. Its times are
// times of the run. It belongs to one goroutine at a time.
type meter struct {
	warm      time.Duration // bytes from here on count for the goodput
	bytes     int64
	warmBytes int64
	waiting   time.Duration // since when the application waits for bytes
	last      time.Duration // of the last delivery
	stall     time.Duration
	bins      []int64
}

// wait says that the application begins to wait for bytes.
func (m *meter) wait(now time.Duration) { m.waiting = now }

// deliver counts n bytes handed to the application.
func (m *meter) deliver(now time.Duration, n int) {
	m.bytes += int64(n)
	if now >= m.warm {
		m.warmBytes += int64(n)
	}
	m.idle(now)
	m.waiting, m.last = now, now
	bin := int(max(now, 0) / binWidth)
	for len(m.bins) <= bin {
		m.bins = append(m.bins, 0)
	}
	m.bins[bin] += int64(n)
}

// idle says that the application still waits, or gave up waiting, at now.
func (m *meter) idle(now time.Duration) { m.stall = max(m.stall, now-m.waiting) }

// total is what the meters of a traffic found together.
type total struct {
	bytes, warmBytes int64
	stall, last      time.Duration
	bins             []int64
}

// sum adds up meters; the stall is the longest of any.
func sum(meters []*meter) total {
	var t total
	for _, m := range meters {
		t.bytes += m.bytes
		t.warmBytes += m.warmBytes
		t.stall = max(t.stall, m.stall)
		t.last = max(t.last, m.last)
		for i, n := range m.bins {
			if len(t.bins) <= i {
				t.bins = append(t.bins, 0)
			}
			t.bins[i] += n
		}
	}
	return t
}

// goodput is the rate of delivery in bit/s between the end of the warm-up and
// the end of the traffic; of a traffic that ended before its warm-up, the rate
// over all of it.
func (t total) goodput(start, warm, end time.Duration) float64 {
	bytes, from := t.warmBytes, warm
	if end <= warm {
		bytes, from = t.bytes, start
	}
	if end <= from {
		return 0
	}
	return float64(bytes) * 8 / (end - from).Seconds()
}

// series is the goodput over time from the bin of start on, up to and without
// the bin that end cuts off.
func (t total) series(start, end time.Duration) report.Series {
	var s report.Series
	for bin := int(start / binWidth); bin < int(end/binWidth); bin++ {
		n := int64(0)
		if bin < len(t.bins) {
			n = t.bins[bin]
		}
		s.T = append(s.T, (time.Duration(bin) * binWidth).Seconds())
		s.V = append(s.V, float64(n)*8/binWidth.Seconds())
	}
	return s
}
