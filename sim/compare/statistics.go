package compare

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"

	"github.com/multilink-vpn/multilink/sim/report"
)

// confidence is the level of the intervals, and 1 less it that of the tests.
const confidence = 0.95

// estimate estimates the median that values were drawn around, with a
// confidence interval by order statistics.
func estimate(values []float64) report.Estimate {
	s := sample(values)
	sum := benchmath.AssumeNothing.Summary(s, confidence)
	e := report.Estimate{Median: sum.Center, Low: sum.Lo, High: sum.Hi, Level: sum.Confidence, N: len(values)}
	if math.IsInf(e.Low, 0) || math.IsInf(e.High, 0) {
		e.Low, e.High = s.Values[0], s.Values[len(s.Values)-1]
		// The median is outside the range if all values are on one side.
		e.Level = 1 - math.Pow(2, 1-float64(len(values)))
	}
	return e
}

// differ is the p-value of the Mann-Whitney U test: how likely two samples
// differ at least so much if they come from one distribution.
func differ(a, b []float64) float64 {
	return benchmath.AssumeNothing.Compare(sample(a), sample(b)).P
}

// sample copies the values: benchmath sorts what it is given.
func sample(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// leastRanked is how many values samples need to be ranked: of fewer no
// difference is significant, however large.
const leastRanked = 4

// noticeable is the least difference of medians that counts in ranks: in
// virtual time runs vary so little that far smaller ones are significant.
const noticeable = 0.01

// ranks are the places of samples: 1 more than the number of others whose
// median is noticeably higher and that differ significantly. So 1 is the best
// or tied with it. Samples that are too small have the rank 0.
func ranks(samples [][]float64) []int {
	places := make([]int, len(samples))
	for i, own := range samples {
		if len(own) < leastRanked {
			continue
		}
		places[i] = 1
		for _, other := range samples {
			if len(other) >= leastRanked && report.Median(other) > (1+noticeable)*report.Median(own) && differ(own, other) < 1-confidence {
				places[i]++
			}
		}
	}
	return places
}

// benefit is the aggregation benefit of Paasch, Khalili and Bonaventure
// (CoNEXT 2013, after Kaspar): 1 if the goodput is the sum of the links', 0 if
// it is that of the best link, -1 if there is none. With one link it is 0 or
// less.
func benefit(goodput float64, alone []float64) float64 {
	best, sum := 0.0, 0.0
	for _, c := range alone {
		best, sum = max(best, c), sum+c
	}
	if goodput >= best && sum > best {
		return (goodput - best) / (sum - best)
	}
	return (goodput - best) / best
}

// jain is Jain's index of fairness: 1 if all are equal, 1/n if one has all.
func jain(x []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum, squares = sum+v, squares+v*v
	}
	if squares == 0 {
		return math.NaN()
	}
	return sum * sum / (float64(len(x)) * squares)
}
