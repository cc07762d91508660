package sched

import "github.com/multilink-vpn/multilink/core"

// wrr is weighted round robin: each open link in proportion to its delivery
// rate (deficit round robin, Shreedhar and Varghese, "Efficient fair queueing
// using deficit round robin", SIGCOMM 1995, with rates as quanta). Links whose
// rate is unknown count as the average of the others.
type wrr struct{ shares shares }

func (*wrr) Name() string { return "wrr" }

func (s *wrr) Pick(v *View) (Choice, core.Time, bool) {
	return s.shares.pick(v, func(l *Link) float64 { return rateWeight(l, v.Links) })
}

func (s *wrr) Sent(_ core.Time, id core.LinkID, bytes int) { s.shares.sent(id, bytes) }
