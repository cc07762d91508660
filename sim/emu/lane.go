package emu

import (
	"math"

	"github.com/multilink-vpn/multilink/sim/link"
)

// hop is one model on the way of frames, with its next time at hand.
type hop struct {
	model *link.Model
	next  int64
}

// refresh must follow every call of the model that may change its next time.
func (h *hop) refresh() {
	at, ok := h.model.Next()
	if !ok {
		at = math.MaxInt64
	}
	h.next = at
}

// lane is one direction of one link.
type lane struct {
	link string
	dir  Direction
	own  *hop   // the link's own model, one of hops
	hops []*hop // all models in the order of passing
	out  *exit  // nil while the link is detached

	drift drift

	// Frames that left the own model but found the link detached or its
	// interface down.
	gone, goneBytes uint64
}

// stats returns the counters of the lane's own model, corrected by what could
// not be delivered.
func (l *lane) stats() link.Stats {
	s := l.own.model.Stats()
	s.PacketsOut -= l.gone
	s.BytesOut -= l.goneBytes
	s.DropFlush += l.gone
	return s
}

// lose counts a frame that left the own model and cannot be delivered because
// the link is gone or down.
func (l *lane) lose(f *frame) {
	l.gone++
	l.goneBytes += uint64(f.size - etherHeader)
}

// entry is a port as the source of a lane.
type entry struct {
	port port
	lane *lane
}

// exit is a port as the end of a lane. It collects frames to send them in one
// system call.
type exit struct {
	port    port
	pending [batch]*frame
	count   int
}
