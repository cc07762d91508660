package sched

import "github.com/multilink-vpn/multilink/core"

// minRTT takes the open link with the lowest smoothed round-trip time: the
// default scheduler of MPTCP in Linux up to 5.x (Paasch et al., "Experimental
// evaluation of multipath TCP schedulers", CSWS 2014).
type minRTT struct{}

func (minRTT) Name() string { return "minrtt" }

func (minRTT) Pick(v *View) (Choice, core.Time, bool) {
	var best *Link
	wake := core.Never
	candidates(v.Links, func(l *Link) {
		switch {
		case !l.Open:
			wake = min(wake, l.OpensAt)
		case best == nil, l.SRTT < best.SRTT:
			best = l
		}
	})
	if best == nil {
		return Choice{}, wake, false
	}
	return Choice{Count: v.Queue.Len(), Links: Of(best.ID)}, 0, true
}

func (minRTT) Sent(core.Time, core.LinkID, int) {}
