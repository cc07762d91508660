package call

import (
	"math"
	"testing"
	"time"
)

// TestMOS has the figures that are published for the short form with G.711 and
// concealment.
func TestMOS(t *testing.T) {
	pcmu := codecs["pcmu"]
	for _, c := range []struct {
		delay time.Duration
		loss  float64
		want  float64
	}{
		{50 * time.Millisecond, 0, 4.38},
		{150 * time.Millisecond, 0.01, 4.23},
		{100 * time.Millisecond, 0.05, 3.82},
		{0, 0, 4.41},
	} {
		if got := mos(pcmu.rating(c.delay, c.loss, 1)); math.Abs(got-c.want) > 0.006 {
			t.Errorf("%v and %g %%: %.3f, want %.2f", c.delay, c.loss*100, got, c.want)
		}
	}
}

func TestMOSAtItsEnds(t *testing.T) {
	for r, want := range map[float64]float64{-0.1: 1, 0: 1, 3: 1, 100.1: 4.5, 100: 4.5} {
		if got := mos(r); math.Abs(got-want) > 1e-9 {
			t.Errorf("R = %g: %g, want %g", r, got, want)
		}
	}
	for r := -10.0; r < 110; r++ {
		if mos(r) > mos(r+1) {
			t.Errorf("R = %g scores higher than %g", r, r+1)
		}
	}
}

func TestBurstsAreWorse(t *testing.T) {
	pcmu := codecs["pcmu"]
	if even, burst := pcmu.rating(0, 0.05, 1), pcmu.rating(0, 0.05, 3); burst >= even {
		t.Errorf("R = %g in bursts, %g without", burst, even)
	}
	if long, short := pcmu.rating(300*time.Millisecond, 0, 1), pcmu.rating(170*time.Millisecond, 0, 1); short-long < 0.11*122 {
		t.Errorf("R = %g at 300 ms, %g at 170 ms: beyond 177.3 ms it falls faster", long, short)
	}
}
