package report

import (
	"math"
	"reflect"
	"slices"
)

// Number is a value as a float64, if it is a number of any kind.
func Number(v any) (float64, bool) {
	switch x := reflect.ValueOf(v); {
	case x.CanFloat():
		return x.Float(), true
	case x.CanInt():
		return float64(x.Int()), true
	case x.CanUint():
		return float64(x.Uint()), true
	}
	return 0, false
}

// Finite is a tree of measurements with null in the place of numbers that JSON
// has no form for: infinite ones, and those that are not a number. The tree
// itself does not change.
func Finite(v any) any {
	switch x := v.(type) {
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil
		}
	case map[string]any:
		m := make(map[string]any, len(x))
		for k, v := range x {
			m[k] = Finite(v)
		}
		return m
	case []any:
		s := make([]any, len(x))
		for i, v := range x {
			s[i] = Finite(v)
		}
		return s
	}
	return v
}

// Median is the middle of values, NaN of none. Their order does not change.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
