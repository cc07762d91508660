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
// costs up to 8 KiB.
const WindowSize = 1 << 16

// smallWindow is how many numbers a window has memory for when it is new or
// trimmed.
const smallWindow = 1024

// Window remembers which of the newest packet numbers of a link were seen. Its
// bitmap is a ring that is never shifted, as in RFC 6479, but the numbers that
// leave the window are cleared one by one instead of in whole words, so that
// exactly the size asked for is covered.
type Window struct {
	size  uint64
	words []uint64 // those of size numbers, or fewer when no more are known of
	next  uint64   // one above the greatest number seen
	// floor is the least number that is known of: Trim has given up those
	// below. While words are those of fewer than size numbers, they have a
	// place for each from floor up to next.
	floor uint64
}

// NewWindow returns a window over the newest size packet numbers. size must be
// a power of two of at least 64: anything else is a mistake of the caller, and
// panics.
func NewWindow(size int) *Window {
	if size < 64 || bits.OnesCount(uint(size)) != 1 {
		panic(fmt.Sprintf("seal: window of %d: must be a power of two of at least 64", size))
	}
	return &Window{size: uint64(size), words: make([]uint64, min(size, smallWindow)/64)}
}

// Check says whether pn is new: nil, [ErrReplayed] or [ErrTooOld]. It changes
// nothing, so it may be asked before the datagram is authenticated.
func (w *Window) Check(pn uint64) error {
	switch {
	case pn == math.MaxUint64:
		return ErrReplayed // never sealed, and has no successor
	case pn >= w.next:
		return nil
	case w.next-pn > w.size, pn < w.floor:
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
		if w.small() && pn-w.floor >= w.places() {
			w.grow()
		}
		w.forget(w.next, pn)
		w.next = pn + 1
	}
	w.words[w.word(pn)] |= bit(pn)
}

// Next returns one more than the greatest number marked, 0 before the first.
func (w *Window) Next() uint64 { return w.next }

// Trim gives memory back, for a link that has been quiet for so long that no
// datagram can still be on its way: all but the newest numbers count as too
// old from now on.
func (w *Window) Trim() {
	if w.size <= smallWindow || w.next == 0 {
		return
	}
	newest := (w.next - 1) / 64 // block
	first := newest - min(newest, smallWindow/64-1)
	w.floor = max(w.floor, first*64)
	if !w.small() {
		w.move(make([]uint64, smallWindow/64))
	}
}

// grow takes the memory for all of size.
func (w *Window) grow() { w.move(make([]uint64, w.size/64)) }

// move copies what is known of the numbers from floor on to other words, which
// have a place for each of them.
func (w *Window) move(to []uint64) {
	if w.next > 0 {
		newest := (w.next - 1) / 64
		for block := w.floor / 64; block <= newest; block++ {
			to[block&uint64(len(to)-1)] = w.words[w.word(block*64)]
		}
		// Above the newest number are the oldest of the ring that was.
		to[newest&uint64(len(to)-1)] &= ^uint64(0) >> (63 - (w.next-1)%64)
	}
	w.words = to
}

func (w *Window) small() bool { return w.places() < w.size }

// places is how many numbers there is memory for.
func (w *Window) places() uint64 { return uint64(len(w.words)) * 64 }

func (w *Window) word(pn uint64) uint64 { return pn / 64 & uint64(len(w.words)-1) }

func bit(pn uint64) uint64 { return 1 << (pn % 64) }

// forget clears the places of the numbers from first to last, both included.
func (w *Window) forget(first, last uint64) {
	if last-first >= w.places() {
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
