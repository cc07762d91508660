package sched

import "github.com/multilink-vpn/multilink/core"

// shareBurst is how far a link may run ahead of its share, in bytes: it keeps
// runs of segments together.
const shareBurst = 16 * segment

// shares gives each link a part of what is sent in proportion to its weight:
// the next goes to the link with the smallest served/weight. A link that was
// closed or away does not make up for the time it missed.
type shares struct {
	served [core.MaxLinks]float64 // virtual finish time of each link
	clock  float64                // of the link served last, when its burst began
	last   core.LinkID
	run    int // bytes left of the last link's burst
}

// pick names the open link whose turn it is, for one packet.
func (s *shares) pick(v *View, weight func(*Link) float64) (Choice, core.Time, bool) {
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
		s.last, s.run, s.clock = best.ID, shareBurst, s.due(best)
	}
	s.charge(best, float64(v.Queue.At(0).Len)/weight(best))
	return Choice{Count: 1, Links: Of(best.ID)}, 0, true
}

// due is a link's virtual time.
func (s *shares) due(l *Link) float64 { return max(s.served[l.ID], s.clock) }

// charge moves a link's virtual time on.
func (s *shares) charge(l *Link, by float64) { s.served[l.ID] = s.due(l) + by }

// sent tells what left on a link.
func (s *shares) sent(id core.LinkID, bytes int) {
	if id == s.last {
		s.run -= bytes
	}
}

// rateWeight is the rate of a link relative to the average of the known rates;
// 1 where it is unknown. As a ratio it keeps its scale when rates become known.
func rateWeight(l *Link, links []Link) float64 {
	if l.Rate <= 0 {
		return 1
	}
	sum, n := 0.0, 0.0
	for i := range links {
		if links[i].Rate > 0 {
			sum += links[i].Rate
			n++
		}
	}
	return l.Rate * n / sum
}
