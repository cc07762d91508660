package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// A link is calm while packets of low latency leave on it: then its window heeds
// the longest delay of a round trip and not the least, so that bursts of bulk
// traffic make no queue either, and its pacer keeps to the delivery rate. That
// costs bulk traffic some of the link, and a call hears nothing of it.
const (
	calmFor    = 2 * time.Second // after the last such packet
	calmTarget = 3 * time.Millisecond
	calmPace   = 1.05
	calmShare  = 3 // of the window it began with, at least a third stays
)

// Calm notes that a packet of low latency leaves on the link.
func (s *Sender) Calm(now core.Time) {
	w := &s.window
	if !w.calm {
		w.calm, w.calmFloor = true, max(minWindow, w.size/calmShare)
	}
	w.calmUntil = now.Add(calmFor)
}

// floor is the least the window is cut to.
func (w *window) floor() int {
	if w.calm {
		return w.calmFloor
	}
	return minWindow
}
