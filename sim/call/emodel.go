package call

import "time"

// This file is the E-model (ITU-T G.107) in the short form of Cole and
// Rosenbluth, "Voice over IP performance monitoring" (2001): all that is not
// the network's is at its default.

// defaultR is the rating of a call with neither delay nor loss.
const defaultR = 93.2

// rating is the transmission rating factor R: of the delay from mouth to ear,
// and of the share of frames lost to the ear. burst is BurstR: how long runs of
// lost frames are, in units of what independent losses would give.
func (c codec) rating(delay time.Duration, loss, burst float64) float64 {
	ms := delay.Seconds() * 1e3
	id := 0.024 * ms
	if ms > 177.3 {
		id += 0.11 * (ms - 177.3)
	}
	percent := loss * 100
	ie := c.impairment + (95-c.impairment)*percent/(percent/burst+c.robustness)
	return defaultR - id - ie
}

// mos is the mean opinion score, 1 to 4.5, that a rating stands for.
func mos(r float64) float64 {
	switch {
	case r < 0:
		return 1
	case r > 100:
		return 4.5
	}
	// Below about 6.5 the polynomial falls under the lowest score there is.
	return max(1, 1+0.035*r+7e-6*r*(r-60)*(100-r))
}
