package seal

import (
	"fmt"
	"math"
	"math/bits"
)

// WindowSize is the number of packet numbers that the replay window of a link
// covers: at 1 Gbit/s in datagrams of 1000 bytes, 62,500 are half a second.
// That is how much later than a successor a datagram may arrive over a link
// that reorders; one with more than that is taken for a replay. The window
// costs 8 KiB.
const WindowSize = 1 << 16

// Window remembers which of the newest packet numbers of a link were seen. Its
// bitmap is a ring that is never shifted, as in RFC 6479, but the numbers that
// leave the window are cleared one by one instead of in whole words, so that
// exactly the size asked for is covered.
type Window struct {
	words []uint64
	next  uint64 // one above the greatest number seen
}

// NewWindow returns a window over the newest size packet numbers. size must be
// a power of two of at least 64: anything else is a mistake of the caller, and
// panics.
func NewWindow(size int) *Window {
	if size < 64 || bits.OnesCount(uint(size)) != 1 {
		panic(fmt.Sprintf("seal: window of %d: must be a power of two of at least 64", size))
	}
	return &Window{words: make([]uint64, size/64)}
}

func (w *Window) size() uint64 { return uint64(len(w.words)) * 64 }

// Check says whether pn is new: nil, [ErrReplayed] or [ErrTooOld]. It changes
// nothing, so it may be asked before the datagram is authenticated.
func (w *Window) Check(pn uint64) error {
	switch {
	case pn == math.MaxUint64:
		return ErrReplayed // never sealed, and has no successor
	case pn >= w.next:
		return nil
	case w.next-pn > w.size():
		return ErrTooOld
	case w.words[w.word(pn)]&bit(pn) != 0:
		return ErrReplayed
	}
	return nil
}

// Mark remembers pn, which must have passed [Window.Check], after its datagram
// was authenticated.
func (w *Window) Mark(pn uint64) {
	if pn >= w.next {
		w.forget(w.next, pn)
		w.next = pn + 1
	}
	w.words[w.word(pn)] |= bit(pn)
}

// Next returns one more than the greatest number marked, 0 before the first.
func (w *Window) Next() uint64 { return w.next }

func (w *Window) word(pn uint64) uint64 { return pn / 64 & uint64(len(w.words)-1) }

func bit(pn uint64) uint64 { return 1 << (pn % 64) }

// forget clears the places of the numbers from first to last, both included.
func (w *Window) forget(first, last uint64) {
	if last-first >= w.size() {
		clear(w.words)
		return
	}
	from := ^uint64(0) << (first % 64)
	to := ^uint64(0) >> (63 - last%64)
	if first/64 == last/64 {
		w.words[w.word(first)] &^= from & to
		return
	}
	w.words[w.word(first)] &^= from
	for block := first/64 + 1; block < last/64; block++ {
		w.words[w.word(block*64)] = 0
	}
	w.words[w.word(last)] &^= to
}
