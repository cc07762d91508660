package scenario

import (
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
)

// What it means that something is as it was before the timeline began: over
// regainWindow on average, this share of the mean of the last regainSpan before
// the first action.
const (
	regainSpan    = 2 * time.Second
	goodputShare  = 0.95
	goodputWindow = 500 * time.Millisecond
	rateShare     = 0.5
	rateWindow    = 200 * time.Millisecond
)

// AddRegained adds to the measurements how long after the last action of the
// timeline each traffic had its old goodput again (95 % of it), and each
// direction of a link half of its old rate: "regained", in seconds. It is left
// out where there was nothing before, and where it did not come back.
func AddRegained(sc *Scenario, measurements map[string]any, series map[string]report.Series) {
	if len(sc.Timeline) == 0 {
		return
	}
	first, last := sc.Timeline[0].At.Seconds(), sc.Timeline[len(sc.Timeline)-1].At.Seconds()
	for name, s := range series {
		share, window := goodputShare, goodputWindow
		path, flows := strings.CutSuffix(name, ".goodput")
		if !flows { // of delays, nothing is regained
			share, window = rateShare, rateWindow
			path, flows = strings.CutSuffix(name, ".rate")
		}
		group := groupAt(measurements, path)
		if !flows || group == nil {
			continue
		}
		if seconds, ok := regained(s, first, last, share, window); ok {
			group["regained"] = seconds
		}
	}
}

// groupAt finds the group of measurements of a series: "dl", "dl.down" or
// "link.wlan0.down", where the link's name may have dots.
func groupAt(measurements map[string]any, path string) map[string]any {
	if rest, ok := strings.CutPrefix(path, "link."); ok {
		links, _ := measurements["link"].(map[string]any)
		dot := max(strings.LastIndex(rest, "."), 0)
		one, _ := links[rest[:dot]].(map[string]any)
		group, _ := one[rest[min(dot+1, len(rest)):]].(map[string]any)
		return group
	}
	group := measurements
	for _, part := range strings.Split(path, ".") {
		group, _ = group[part].(map[string]any)
	}
	return group
}

// regained is when, after last, a series first has the given share of its mean
// before first for the length of a window, counted from last.
func regained(s report.Series, first, last, share float64, window time.Duration) (seconds float64, ok bool) {
	before := mean(s, first-regainSpan.Seconds(), first)
	if before <= 0 {
		return 0, false
	}
	for _, t := range s.T {
		end := t + window.Seconds()
		if t < last || len(s.T) == 0 || end > s.T[len(s.T)-1] {
			continue
		}
		if mean(s, t, end) >= share*before {
			return t - last, true
		}
	}
	return 0, false
}

// mean is the mean of the samples from a time on and before another; 0 without
// any.
func mean(s report.Series, from, to float64) float64 {
	const rounding = 1e-9 // of times that are sums
	sum, n := 0.0, 0
	for i, t := range s.T {
		if t >= from-rounding && t < to-rounding {
			sum += s.V[i]
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}
