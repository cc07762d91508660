package sched

import "github.com/multilink-vpn/multilink/core"

// wrrBurst is how far a link may run ahead of its share, in bytes: it keeps
// runs of segments together.
const wrrBurst = 16 * 1500

// wrr is weighted round robin: each open link in proportion to its delivery
// rate, by the smallest served/rate (deficit round robin, Shreedhar and
// Varghese, SIGCOMM 1995, with rates as quanta). Links whose rate is unknown
// count as the average of the others.
type wrr struct {
	served [core.MaxLinks]float64 // virtual finish time of each link, s
	clock  float64                // of the link served last, when its burst began
	last   core.LinkID
	run    int // bytes left of the last link's burst
}

func (*wrr) Name() string { return "wrr" }

func (s *wrr) Pick(v *View) (Choice, core.Time, bool) {
	var best *Link
	wake := core.Never
	candidates(v.Links, func(l *Link) {
		switch {
		case !l.Open:
			wake = min(wake, l.OpensAt)
		case s.run > 0 && l.ID == s.last:
			best = l
		case best != nil && s.run > 0 && best.ID == s.last:
		case best == nil, s.due(l) < s.due(best):
			best = l
		}
	})
	if best == nil {
		return Choice{}, wake, false
	}
	if best.ID != s.last || s.run <= 0 {
		s.last, s.run, s.clock = best.ID, wrrBurst, s.due(best)
	}
	s.served[best.ID] = s.due(best) + float64(v.Queue.At(0).Len)/weight(best, v.Links)
	return Choice{Count: 1, Links: Of(best.ID)}, 0, true
}

// due is a link's virtual time; one that was idle or new does not make up for
// the time it was away.
func (s *wrr) due(l *Link) float64 { return max(s.served[l.ID], s.clock) }

// weight is the rate of a link, or the average of the known rates, bytes/s.
func weight(l *Link, links []Link) float64 {
	if l.Rate > 0 {
		return l.Rate
	}
	sum, n := 0.0, 0
	for i := range links {
		if links[i].Rate > 0 {
			sum += links[i].Rate
			n++
		}
	}
	if n == 0 {
		return 1
	}
	return sum / float64(n)
}

func (s *wrr) Sent(_ core.Time, id core.LinkID, bytes int) {
	if id == s.last {
		s.run -= bytes
	}
}
