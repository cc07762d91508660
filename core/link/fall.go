package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Constants of the rules for a link whose rate falls.
const (
	fallFloor  = 30 * time.Millisecond // the least queue that shows it
	fallMemory = 10 * time.Second      // for so long the rate may come back
)

// fall is the last fall of a link's rate.
type fall struct {
	at   core.Time // of the last cut for it; 0: there was none
	from int       // the window before
}

// note takes down a cut that a fall of the link's rate asks for, from a window.
func (f *fall) note(now core.Time, size int) {
	if f.at == 0 || now.Sub(f.at) > fallMemory {
		f.from = 0
	}
	f.at, f.from = now, max(f.from, size)
}

// Fallen is by how much the window is smaller than before the rate of the link
// fell, in bytes; 0 when that was long ago. It fades: a rate that has not come
// back is less and less likely to.
func (s *Sender) Fallen(now core.Time) int {
	f := &s.window.fall
	left := fallMemory - now.Sub(f.at)
	if f.at == 0 || left <= 0 {
		return 0
	}
	return int(float64(max(0, f.from-s.window.size)) * left.Seconds() / fallMemory.Seconds())
}

// fallQueue is the queue that shows that the link's rate has fallen.
func fallQueue(target time.Duration) time.Duration { return max(4*target, fallFloor) }

// overfull tells whether the queue of a link without a competitor is far over the
// target: what is lost now is lost to congestion.
func (w *window) overfull(s *Sender) bool {
	return w.reports > 0 && w.recentLeast()-s.baseDelay() > fallQueue(w.target(s))
}

// emergency cuts between rounds when the queue has grown far over the target:
// the link's rate has fallen, and is what the link delivers now.
func (w *window) emergency(now core.Time, s *Sender, queue, target time.Duration) {
	rate := w.recentRate()
	size := max(w.floor(), w.fill(rate, s, target))
	if size >= w.size {
		return
	}
	if w.rival.cut(now, s) {
		w.probe(now, s)
		return
	}
	w.fall.note(now, w.size)
	w.size = max(size, w.size/2)
	w.rate = min(w.rate, max(rate, w.rate/2))
	w.lastCut = now
	w.rest = 0
}
