package virtual

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// What a run owes to the machine it is on: nothing. Two things of Go's runtime
// would let the loop go on before a stack's goroutine has come to rest, and
// both depend on how busy the machine is: its scheduler puts a goroutine that
// has run for 10 ms of real time behind the loop, and its collector makes one
// that allocates wait.

// slice is how long a round of yield may take without a second look, in real
// time: less than the 10 ms after which Go's scheduler interrupts.
const slice = 5 * time.Millisecond

// yield lets the goroutines of the TCP stacks run until they have nothing to
// do. It must follow everything that can wake one of them at once: where this
// goroutine is preempted is up to the runtime, so nothing that matters may
// happen between a stack's goroutine being woken and its having run.
//
// A round is two: the runtime looks at the queue that this goroutine waits in
// first every 61st time. And it is repeated until one was short enough for
// nobody to have been interrupted in it.
func (s *Simulation) yield() {
	s.dirty = true
	for {
		runtime.Gosched()
		runtime.Gosched()
		began := s.rested
		if s.rested = time.Now(); s.rested.Sub(began) < slice {
			return
		}
	}
}

// collector collects garbage between two events, when every goroutine rests:
// while a scenario runs, the runtime's own is off.
type collector struct {
	sample [1]metrics.Sample
	next   uint64 // bytes of the heap from which on it is time
}

const (
	// heapObjects is the metric: bytes of objects, dead ones not yet swept
	// included.
	heapObjects = "/memory/classes/heap/objects:bytes"
	// A collection is due when the heap has grown to heapGrowth times what
	// the last one left, and to heapLeast bytes: what a simulation allocates
	// lives short, and memory is cheaper than time.
	heapGrowth = 5
	heapLeast  = 64 << 20
)

// run collects if it is time to.
func (c *collector) run() {
	if c.heap() < max(c.next, heapLeast) {
		return
	}
	runtime.GC()
	c.next = heapGrowth * c.heap()
}

func (c *collector) heap() uint64 {
	c.sample[0].Name = heapObjects
	metrics.Read(c.sample[:])
	return c.sample[0].Value.Uint64()
}
