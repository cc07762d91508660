package link

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
)

// TraceSlot is the number of bytes that may leave at each line of a trace.
const TraceSlot = 1500

// Bounds of what ParseTrace takes: an hour at 56 Mbit/s, and a stamp of one
// day.
const (
	maxTraceSlots = 1 << 24
	maxTraceStamp = 24 * 3600 * 1000
)

// ErrEmptyTrace says that a trace has no line, or none after time zero.
var ErrEmptyTrace = errors.New("trace lasts for no time: it needs a line with a stamp above 0")

// Trace is a recording of when a link could deliver, in the format of
// mahimahi (mm-link(1)): each line is a moment in milliseconds at which
// TraceSlot bytes may leave. It starts over at its last stamp. A slot that
// nothing waits for is lost; a packet larger than what is left of a slot
// continues in the next.
type Trace struct {
	stamps []uint32 // ms, ascending, the last one is the period
}

// ParseTrace reads a trace.
func ParseTrace(r io.Reader) (*Trace, error) {
	t := &Trace{}
	scanner := bufio.NewScanner(r)
	for line := 1; scanner.Scan(); line++ {
		text := strings.TrimSpace(scanner.Text())
		stamp, err := strconv.ParseUint(text, 10, 32)
		if err != nil || stamp > maxTraceStamp {
			return nil, fmt.Errorf("trace line %d: %q is not a time in milliseconds from 0 to %d", line, text, maxTraceStamp)
		}
		if n := len(t.stamps); n > 0 && uint32(stamp) < t.stamps[n-1] {
			return nil, fmt.Errorf("trace line %d: %d ms comes after %d ms: stamps must not decrease", line, stamp, t.stamps[n-1])
		}
		if len(t.stamps) == maxTraceSlots {
			return nil, fmt.Errorf("trace line %d: a trace may have up to %d lines", line, maxTraceSlots)
		}
		t.stamps = append(t.stamps, uint32(stamp))
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	if len(t.stamps) == 0 || t.stamps[len(t.stamps)-1] == 0 {
		return nil, ErrEmptyTrace
	}
	return t, nil
}

// Rate returns the trace's mean rate in bit/s.
func (t *Trace) Rate() float64 {
	return float64(len(t.stamps)) * TraceSlot * 8 * 1e9 / float64(t.period())
}

// period returns the nanoseconds after which the trace starts over.
func (t *Trace) period() int64 { return int64(t.stamps[len(t.stamps)-1]) * 1e6 }

// cursor is a place in a trace that started at origin: a slot and what is left
// of it.
type cursor struct {
	trace  *Trace
	origin int64
	cycle  int64
	slot   int
	left   int // bytes
}

// newCursor starts a trace at origin.
func newCursor(t *Trace, origin int64) cursor {
	return cursor{trace: t, origin: origin, left: TraceSlot}
}

// at returns the time of the current slot.
func (c *cursor) at() int64 {
	return c.origin + c.cycle*c.trace.period() + int64(c.trace.stamps[c.slot])*1e6
}

// step goes to the next slot.
func (c *cursor) step() {
	c.left = TraceSlot
	if c.slot++; c.slot == len(c.trace.stamps) {
		c.slot = 0
		c.cycle++
	}
}

// seek goes to the first slot at or after start, unless the cursor is there
// already: what is left of the present slot can still be used.
func (c *cursor) seek(start int64) {
	if c.at() >= start {
		return
	}
	period := c.trace.period()
	c.cycle = (start - c.origin) / period
	within := (start - c.origin) % period
	if within == 0 && c.cycle > 0 {
		// The moment belongs to two cycles; the last slots of the earlier
		// one come first.
		c.cycle--
		within = period
	}
	stamps := c.trace.stamps
	c.slot = sort.Search(len(stamps), func(i int) bool { return int64(stamps[i])*1e6 >= within })
	c.left = TraceSlot
}

// serve takes size bytes from the slots at or after start and returns when the
// last of them leaves.
func (c *cursor) serve(start int64, size int) int64 {
	c.seek(start)
	for {
		if c.left == 0 {
			c.step()
			continue
		}
		taken := min(c.left, size)
		c.left -= taken
		if size -= taken; size == 0 {
			return c.at()
		}
	}
}

// unserved returns how many of size bytes, whose transmission began at start
// with the cursor where it is, still wait just after now.
func (c cursor) unserved(start, now int64, size int) int {
	c.seek(start)
	for c.at() <= now && size > 0 {
		size -= min(c.left, size)
		c.step()
	}
	return size
}
