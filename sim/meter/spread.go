package meter

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Spread gathers durations and tells how they are distributed: percentiles to
// three digits, the rest exactly.
type Spread struct {
	histogram  *hdrhistogram.Histogram
	n          int
	low, high  time.Duration
	sum, sumSq float64 // in seconds
}

// The range in which percentiles keep their three digits; what is outside
// counts as the nearest end of it.
const (
	spreadLow  = time.Microsecond
	spreadHigh = 10 * time.Minute
)

// NewSpread makes an empty Spread.
func NewSpread() *Spread {
	return &Spread{histogram: hdrhistogram.New(int64(spreadLow), int64(spreadHigh), 3)}
}

// Add takes one duration.
func (s *Spread) Add(d time.Duration) {
	if s.n == 0 || d < s.low {
		s.low = d
	}
	if s.n == 0 || d > s.high {
		s.high = d
	}
	s.n++
	s.sum += d.Seconds()
	s.sumSq += d.Seconds() * d.Seconds()
	_ = s.histogram.RecordValue(int64(min(max(d, spreadLow), spreadHigh))) // within its range
}

// Count is how many durations were added.
func (s *Spread) Count() int { return s.n }

func (s *Spread) percentile(p float64) float64 {
	return time.Duration(s.histogram.ValueAtPercentile(p)).Seconds()
}

// Percentiles are p50, p95 and p99 in seconds; none of nothing.
func (s *Spread) Percentiles() map[string]any {
	if s.n == 0 {
		return map[string]any{}
	}
	return map[string]any{"p50": s.percentile(50), "p95": s.percentile(95), "p99": s.percentile(99)}
}

// Full adds min, avg, max and mdev (the standard deviation, as ping calls it).
func (s *Spread) Full() map[string]any {
	values := s.Percentiles()
	if s.n == 0 {
		return values
	}
	mean := s.sum / float64(s.n)
	values["min"], values["avg"], values["max"] = s.low.Seconds(), mean, s.high.Seconds()
	values["mdev"] = math.Sqrt(max(0, s.sumSq/float64(s.n)-mean*mean))
	return values
}
