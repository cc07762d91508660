package lab

import (
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
)

// linkSeries gathers what each link carries over time, in bit/s of IP packets.
type linkSeries struct {
	at   time.Duration // of the sample before
	last map[string]LinkProgress
	into map[string]report.Series // "link.wlan0.down.rate"
}

func newLinkSeries() linkSeries {
	return linkSeries{last: map[string]LinkProgress{}, into: map[string]report.Series{}}
}

// sample takes the links' counters at a time of the run.
func (s *linkSeries) sample(at time.Duration, links []LinkProgress) {
	took := (at - s.at).Seconds()
	if took <= 0 {
		return
	}
	for _, l := range links {
		before := s.last[l.Name]
		s.add("link."+l.Name+".down.rate", carriedSince(before.Down, l.Down)*8/took)
		s.add("link."+l.Name+".up.rate", carriedSince(before.Up, l.Up)*8/took)
		s.last[l.Name] = l
	}
	s.at = at
}

func (s *linkSeries) add(name string, rate float64) {
	series := s.into[name]
	series.T = append(series.T, s.at.Seconds())
	series.V = append(series.V, rate)
	s.into[name] = series
}

// carriedSince is how far a counter went; one that is lower than before
// belongs to a link that was plugged in anew.
func carriedSince(before, now uint64) float64 {
	if now < before {
		return float64(now)
	}
	return float64(now - before)
}
