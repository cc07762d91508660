package scenario

import "slices"

// The baselines: what a scenario's traffic reaches with each link alone,
// through the tunnel or past it.
const (
	BaselineAlone = "alone"
	BaselineBare  = "bare"
)

// Single is what a baseline runs: the scenario's traffic through the tunnel
// with link i alone, which is there from the start, without the timeline. For
// BaselineBare the traffic goes past the tunnel instead.
func Single(sc *Scenario, i int, baseline string) *Scenario {
	one := *sc
	l := sc.Links[i]
	l.Present = true
	one.Links = []Link{l}
	one.Baseline, one.Timeline, one.Expect, one.Traffic, one.Bottlenecks = "", nil, nil, nil, nil
	for _, b := range sc.Bottlenecks {
		if slices.Contains(b.Links, l.Name) {
			b.Links = []string{l.Name}
			one.Bottlenecks = append(one.Bottlenecks, b)
		}
	}
	for _, t := range sc.Traffic {
		if t.Via.Kind != "tunnel" {
			continue
		}
		if baseline == BaselineBare {
			t.Via = Via{Kind: "link", Link: l.Name}
			t.IP = pastTunnel(sc, t.IP)
		}
		one.Traffic = append(one.Traffic, t)
	}
	if baseline == BaselineBare {
		one.Client, one.Server = nil, nil
	}
	return &one
}

// ByMPTCP is the scenario with the TCP traffic of the tunnel past it, by the
// kernel's MPTCP over all links: what can be had where both ends' applications
// take part. Nothing else goes through the tunnel then; traffic past it stays.
// It is nil where the tunnel has no such traffic.
func ByMPTCP(sc *Scenario) *Scenario {
	by := *sc
	by.Baseline, by.Expect, by.Traffic, by.Client, by.Server = "", nil, nil, nil, nil
	any := false
	for _, t := range sc.Traffic {
		if t.Via.Kind == "tunnel" {
			if t.Kind != "tcp" {
				continue
			}
			t.Via, t.IP = Via{Kind: "mptcp"}, pastTunnel(sc, t.IP)
			any = true
		}
		by.Traffic = append(by.Traffic, t)
	}
	if !any {
		return nil
	}
	by.Timeline = slices.DeleteFunc(slices.Clone(sc.Timeline), func(a Action) bool { return a.Link == "" })
	return &by
}

// pastTunnel is the inner family that traffic has past the tunnel, where there
// is only the underlay's.
func pastTunnel(sc *Scenario, family int) int {
	switch sc.Underlay {
	case Underlay4:
		return 4
	case Underlay6:
		return 6
	}
	return family
}
