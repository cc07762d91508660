package call

import "time"

// The jitter buffer that the score assumes: a frame is played playoutMargin
// after the least delay of the last adaptWindow. A frame that comes later than
// that is lost to the ear. So the buffer takes up to playoutMargin of jitter,
// and follows a path whose delay has changed: at once when it fell, after
// adaptWindow when it rose.
const (
	playoutMargin = 60 * time.Millisecond
	adaptWindow   = 2 * time.Second
)

// heard is what comes out of the jitter buffer.
type heard struct {
	lost, late int // frames that never came; that came too late
	// runs is how many runs of such frames there were.
	runs int
	// delay is the mean time from a frame's sending to its playing; 0 when
	// nothing came.
	delay time.Duration
}

// play runs frames, each with its one-way delay, through the jitter buffer. A
// delay below 0 stands for a frame that never came.
func play(delays []time.Duration) heard {
	const window = int(adaptWindow / Frame)
	var h heard
	var sum time.Duration
	// least has the frames that can be the least of a window: ascending in
	// number and delay.
	var least []int
	played, missing := 0, false
	for i, d := range delays {
		for len(least) > 0 && least[0] <= i-window {
			least = least[1:]
		}
		if d >= 0 {
			for len(least) > 0 && delays[least[len(least)-1]] >= d {
				least = least[:len(least)-1]
			}
			least = append(least, i)
			deadline := delays[least[0]] + playoutMargin
			if d <= deadline {
				sum += deadline
				played++
				missing = false
				continue
			}
			h.late++
		} else {
			h.lost++
		}
		if !missing {
			h.runs++
		}
		missing = true
	}
	if played > 0 {
		h.delay = sum / time.Duration(played)
	}
	return h
}

// gone is the share of frames that the ear did not get, and how long the runs
// of them are against independent losses (BurstR of G.107), at least 1.
func (h heard) gone(frames int) (share, burst float64) {
	missing := h.lost + h.late
	if missing == 0 {
		return 0, 1
	}
	share = float64(missing) / float64(frames)
	run := float64(missing) / float64(h.runs)
	return share, max(1, run*(1-share))
}
