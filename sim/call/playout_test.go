package call

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const ms = time.Millisecond

// frames repeats delays.
func frames(n int, delays ...time.Duration) []time.Duration {
	var all []time.Duration
	for range n {
		all = append(all, delays...)
	}
	return all
}

func TestPlay(t *testing.T) {
	for name, c := range map[string]struct {
		delays []time.Duration
		want   heard
	}{
		"nothing":           {nil, heard{}},
		"even":              {frames(10, 20*ms), heard{delay: 80 * ms}},
		"lost":              {[]time.Duration{20 * ms, -1, -1, 20 * ms, -1}, heard{lost: 3, runs: 2, delay: 80 * ms}},
		"just in time":      {[]time.Duration{20 * ms, 80 * ms}, heard{delay: 80 * ms}},
		"too late":          {[]time.Duration{20 * ms, 81 * ms}, heard{late: 1, runs: 1, delay: 80 * ms}},
		"late and lost":     {[]time.Duration{20 * ms, 81 * ms, -1, 20 * ms}, heard{late: 1, lost: 1, runs: 1, delay: 80 * ms}},
		"nothing came":      {frames(4, -1), heard{lost: 4, runs: 1}},
		"first comes late":  {[]time.Duration{500 * ms, 20 * ms, 20 * ms, 20 * ms}, heard{delay: (560 + 3*80) * ms / 4}},
		"a lasting rise":    {append(frames(100, 20*ms), frames(200, 120*ms)...), heard{late: 99, runs: 1, delay: (100*80 + 101*180) * ms / 201}},
		"a rise of a while": {append(append(frames(9, 20*ms), 200*ms, 200*ms), frames(9, 20*ms)...), heard{late: 2, runs: 1, delay: 80 * ms}},
	} {
		if got := play(c.delays); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestGone(t *testing.T) {
	for _, c := range []struct {
		h            heard
		frames       int
		share, burst float64
	}{
		{heard{}, 0, 0, 1},
		{heard{}, 10, 0, 1},
		{heard{lost: 2, runs: 2}, 10, 0.2, 1},
		{heard{lost: 3, late: 1, runs: 1}, 10, 0.4, 2.4},
		{heard{lost: 10, runs: 1}, 10, 1, 1},
	} {
		if share, burst := c.h.gone(c.frames); share != c.share || math.Abs(burst-c.burst) > 1e-9 {
			t.Errorf("%+v: %g and %g, want %g and %g", c.h, share, burst, c.share, c.burst)
		}
	}
}

// TestPlayProperties holds that every frame is played, late or lost, and that
// what is played is within the buffer.
func TestPlayProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		delays := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(-1, 300).Draw(t, "ms")) * ms
		}), 1, 400).Draw(t, "delays")
		h := play(delays)
		inTime, least := 0, time.Hour
		for i, d := range delays {
			if d < 0 {
				continue
			}
			least = min(least, d)
			base := d
			for _, e := range delays[max(0, i-99) : i+1] {
				if e >= 0 {
					base = min(base, e)
				}
			}
			if d <= base+playoutMargin {
				inTime++
			}
		}
		if inTime+h.late+h.lost != len(delays) {
			t.Fatalf("%d in time, %d late, %d lost of %d", inTime, h.late, h.lost, len(delays))
		}
		if inTime > 0 && h.delay < least+playoutMargin {
			t.Fatalf("played after %v, the least delay is %v", h.delay, least)
		}
	})
}
