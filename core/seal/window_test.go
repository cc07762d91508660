package seal_test

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core/seal"
)

func TestWindow(t *testing.T) {
	const size = 128
	tests := []struct {
		name   string
		marked []uint64
		pn     uint64
		want   error
	}{
		{"first", nil, 0, nil},
		{"first, far", nil, 1 << 60, nil},
		{"again", []uint64{0}, 0, seal.ErrReplayed},
		{"next", []uint64{0}, 1, nil},
		{"late", []uint64{0, 2}, 1, nil},
		{"late twice", []uint64{0, 2, 1}, 1, seal.ErrReplayed},
		{"the oldest in the window", []uint64{size}, 1, nil},
		{"one older", []uint64{size}, 0, seal.ErrTooOld},
		{"in the place of one that left", []uint64{5, size + 5}, 6, nil},
		{"after a jump over the whole ring", []uint64{5, 10*size + 5}, 9*size + 6, nil},
		{"the greatest there is", []uint64{math.MaxUint64 - 1}, math.MaxUint64 - 1, seal.ErrReplayed},
		{"a number without successor", nil, math.MaxUint64, seal.ErrReplayed},
		{"below the greatest there is", []uint64{math.MaxUint64 - 1}, math.MaxUint64 - size, nil},
		{"far below", []uint64{math.MaxUint64 - 1}, 3, seal.ErrTooOld},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := seal.NewWindow(size)
			for _, pn := range tt.marked {
				if err := w.Check(pn); err != nil {
					t.Fatalf("Check(%d) = %v", pn, err)
				}
				w.Mark(pn)
			}
			if got := w.Check(tt.pn); !errors.Is(got, tt.want) {
				t.Errorf("Check(%d) = %v, want %v", tt.pn, got, tt.want)
			}
		})
	}
}

// TestWindowModel compares the window with a map that forgets nothing.
func TestWindowModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := uint64(rapid.SampledFrom([]int{64, 128, 1024, 4096}).Draw(t, "size"))
		w := seal.NewWindow(int(size))
		seen := map[uint64]bool{}
		next, floor := uint64(0), uint64(0)
		step := rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64Range(0, 3*size))
		for range rapid.IntRange(1, 200).Draw(t, "datagrams") {
			pn := next + step.Draw(t, "ahead")
			if back := step.Draw(t, "back"); back <= pn {
				pn -= back
			}
			var want error
			switch {
			case pn+size < next, pn < floor:
				want = seal.ErrTooOld
			case seen[pn]:
				want = seal.ErrReplayed
			}
			if got := w.Check(pn); !errors.Is(got, want) {
				t.Fatalf("Check(%d) = %v, want %v, with next %d", pn, got, want, next)
			}
			if want == nil {
				w.Mark(pn)
				seen[pn] = true
				next = max(next, pn+1)
			}
			if rapid.IntRange(0, 9).Draw(t, "trim") == 0 {
				w.Trim()
				if size > 1024 && next > 1024 { // what is kept begins with a word
					floor = max(floor, (next-1)/64*64-960)
				}
			}
			if w.Next() != next {
				t.Fatalf("Next = %d, want %d", w.Next(), next)
			}
		}
	})
}

func TestWindowSizes(t *testing.T) {
	for _, size := range []int{-64, 0, 1, 32, 96, 65537} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("NewWindow(%d) did not panic", size)
				}
			}()
			seal.NewWindow(size)
		}()
	}
}

func BenchmarkWindow(b *testing.B) {
	b.ReportAllocs()
	w := seal.NewWindow(seal.WindowSize)
	for pn := uint64(0); b.Loop(); pn++ {
		if w.Check(pn) != nil {
			b.Fatal("refused")
		}
		w.Mark(pn)
	}
}
