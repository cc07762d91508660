package link

import "github.com/multilink-vpn/multilink/core"

// unused is about a window that has grown past its link and that the traffic
// does not fill: what leaves in bursts overruns a queue of a few packets, and
// neither a delay nor the pacer, which holds nothing back, tells of it.
type unused struct {
	acked, lost int     // bytes, in rounds that nothing held back
	fastest     float64 // delivery rate of one of them, bytes/s
}

// unusedRound takes a round that neither window nor pacer held back. When more
// is lost than chance may lose, the window becomes what would fill the link at
// the fastest delivery of these rounds, so that it bounds the next burst (RFC
// 7661, section 4.4.1). It tells whether it did.
func (w *window) unusedRound(now core.Time, s *Sender, rate float64) bool {
	u := &w.unused
	if w.limited || w.held {
		return false
	}
	target := w.target(s)
	if w.round.least-s.baseDelay() > 3*target {
		return false // congestion, which shows as delay
	}
	u.acked += w.round.acked
	u.lost += w.round.lost
	u.fastest = max(u.fastest, rate)
	if float64(u.lost) < suspectLoss*float64(u.acked) {
		if u.acked > trialLosses*segment/suspectLoss {
			*u = unused{}
		}
		return false
	}
	if u.lost < trialLosses*segment {
		return false
	}
	w.rate = min(w.rate, u.fastest)
	w.size = max(w.floor(), min(w.size, w.fill(w.rate, s, target)))
	w.starting, w.lastCut, w.quiet = false, now, 0
	*u = unused{}
	return true
}
