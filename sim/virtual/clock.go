package virtual

import (
	"container/heap"
	"math"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// never is a time that does not come.
const never = math.MaxInt64

// clock is virtual time, in nanoseconds since the simulation was made, and what
// is to happen in it. Timers of the TCP stacks are set from their goroutines,
// so it has a lock; only the simulation's loop moves time on.
type clock struct {
	mu    sync.Mutex
	now   int64
	queue timerQueue
	lanes int
}

// lane is a source of timers: the simulation itself, or one TCP stack.
// Timers of the same moment go off by the order of their lanes, then of their
// setting: it does not matter in which order stacks that do not know of each
// other set theirs. A lane is the clock that a stack sees (tcpip.Clock).
type lane struct {
	clock *clock
	id    int
	set   uint64 // timers set so far
	last  int64  // the latest monotonic time handed out
}

func (c *clock) newLane() *lane {
	c.lanes++
	return &lane{clock: c, id: c.lanes}
}

// next is when the next timer goes off.
func (c *clock) next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return never
	}
	return c.queue[0].at
}

// advance moves time on to t.
func (c *clock) advance(t int64) {
	c.mu.Lock()
	c.now = max(c.now, t)
	c.mu.Unlock()
}

// pop takes the next timer that is due.
func (c *clock) pop() (f func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 || c.queue[0].at > c.now {
		return nil, false
	}
	return heap.Pop(&c.queue).(*timer).f, true
}

// Now implements tcpip.Clock: the wall time is that of the monotonic clock
// after an epoch.
func (l *lane) Now() time.Time {
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	return time.Unix(wallEpoch, l.clock.now)
}

// wallEpoch is the stacks' wall time at the start, in seconds of Unix time.
const wallEpoch = 1_000_000_000

// NowMonotonic implements tcpip.Clock. It never returns the same time twice:
// gVisor's RACK takes the later of two segments sent at the same moment for
// the earlier one, and loses the tail of a burst.
func (l *lane) NowMonotonic() tcpip.MonotonicTime {
	l.clock.mu.Lock()
	defer l.clock.mu.Unlock()
	l.last = max(l.clock.now, l.last+1)
	return tcpip.MonotonicTime{}.Add(time.Duration(l.last))
}

// AfterFunc implements tcpip.Clock. f is called by the simulation's loop.
func (l *lane) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &timer{lane: l, f: f, index: -1}
	t.Reset(d)
	return t
}

// timer implements tcpip.Timer.
type timer struct {
	lane  *lane
	f     func()
	at    int64
	set   uint64
	index int // in the queue, -1 outside
}

// Stop implements tcpip.Timer.
func (t *timer) Stop() bool {
	c := t.lane.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(&c.queue, t.index)
	return true
}

// Reset implements tcpip.Timer.
func (t *timer) Reset(d time.Duration) {
	c := t.lane.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	t.lane.set++
	t.at, t.set = c.now+max(0, int64(d)), t.lane.set
	if t.index >= 0 {
		heap.Fix(&c.queue, t.index)
		return
	}
	heap.Push(&c.queue, t)
}

// timerQueue is a heap of timers.
type timerQueue []*timer

func (q timerQueue) Len() int { return len(q) }

func (q timerQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	switch {
	case a.at != b.at:
		return a.at < b.at
	case a.lane.id != b.lane.id:
		return a.lane.id < b.lane.id
	}
	return a.set < b.set
}

func (q timerQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *timerQueue) Push(x any) {
	t := x.(*timer)
	t.index = len(*q)
	*q = append(*q, t)
}

// Pop implements heap.Interface.
func (q *timerQueue) Pop() any {
	old := *q
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	t.index = -1
	return t
}
