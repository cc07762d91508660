package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/multilink-vpn/multilink/sim/report"
)

// Record is what is kept of a cell: a line of cells.jsonl.
type Record struct {
	Cell
	// Error says why there is nothing else: the run broke.
	Error   string         `json:"error,omitempty"`
	Verdict report.Verdict `json:"verdict,omitempty"`
	// Reason is the run's, for a verdict that is not for an expectation.
	Reason       string         `json:"reason,omitempty"`
	Measurements map[string]any `json:"measurements,omitempty"`
	// Curves are rates over time in bit/s, in bins of BinSeconds.
	Curves map[string][]float64 `json:"curves,omitempty"`
	// Delays are round-trip times in s by traffic: quantiles 0, 1/100, ... 1.
	Delays      map[string][]float64 `json:"delays,omitempty"`
	Emulator    any                  `json:"emulator,omitempty"`
	Environment report.Environment   `json:"environment"`
	Seconds     float64              `json:"seconds"` // wall time
}

// BinSeconds is the width of a bin of a curve.
const BinSeconds = 0.5

// Usable says whether the record has measurements that say something about the
// product.
func (r *Record) Usable() bool { return r.Error == "" && r.Verdict != report.Inconclusive }

// newRecord keeps what a run found, or the error it ended with.
func newRecord(c Cell, result *report.Result, err error) Record {
	if err != nil {
		return Record{Cell: c, Error: err.Error()}
	}
	r := Record{
		Cell: c, Verdict: result.Verdict, Reason: result.Reason,
		Measurements: report.Finite(result.Measurements).(map[string]any),
		Curves:       map[string][]float64{}, Delays: map[string][]float64{},
		Emulator: result.Emulator, Environment: result.Environment, Seconds: result.Seconds,
	}
	for name, series := range result.Series {
		switch {
		case strings.HasSuffix(name, ".goodput"), strings.HasSuffix(name, ".rate"):
			r.Curves[name] = bins(series)
		case strings.HasSuffix(name, ".rtt") && len(series.V) > 0:
			r.Delays[strings.TrimSuffix(name, ".rtt")] = quantiles(series.V)
		}
	}
	return r
}

// bins are the means of a series in bins of BinSeconds, from time 0 on.
func bins(s report.Series) []float64 {
	if len(s.T) == 0 {
		return nil
	}
	n := int(s.T[len(s.T)-1]/BinSeconds) + 1
	sum, count := make([]float64, n), make([]float64, n)
	for i, t := range s.T {
		bin := int(t / BinSeconds)
		sum[bin] += s.V[i]
		count[bin]++
	}
	for i := range sum {
		if count[i] > 0 {
			sum[i] = rounded(sum[i] / count[i])
		}
	}
	return sum
}

// quantiles are the 101 quantiles of values from 0 to 1, by the nearest rank.
func quantiles(values []float64) []float64 {
	sorted := slices.Sorted(slices.Values(values))
	q := make([]float64, 101)
	for i := range q {
		q[i] = rounded(quantile(sorted, float64(i)/100))
	}
	return q
}

// quantile is a quantile of ascending values by the nearest rank.
func quantile(sorted []float64, p float64) float64 {
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// rounded keeps four digits: charts show no more, and files are smaller.
func rounded(v float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil {
		return v
	}
	return short
}

// flatten lists the numbers of a tree of measurements by their dotted names.
func flatten(measurements map[string]any) map[string]float64 {
	flat := map[string]float64{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch x := v.(type) {
		case map[string]any:
			for key, value := range x {
				walk(prefix+"."+key, value)
			}
		case []any:
			for i, value := range x {
				walk(fmt.Sprintf("%s.%d", prefix, i), value)
			}
		case float64:
			flat[prefix[1:]] = x
		case bool:
			flat[prefix[1:]] = map[bool]float64{true: 1}[x]
		}
	}
	walk("", measurements)
	return flat
}

// names are a flat map's keys in order.
func names(flat map[string]float64) []string { return slices.Sorted(maps.Keys(flat)) }
