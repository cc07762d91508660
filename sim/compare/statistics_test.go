package compare

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestBenefit(t *testing.T) {
	for _, c := range []struct {
		goodput float64
		alone   []float64
		want    float64
	}{
		{30, []float64{20, 10}, 1},
		{20, []float64{20, 10}, 0},
		{25, []float64{20, 10}, 0.5},
		{0, []float64{20, 10}, -1},
		{10, []float64{20, 10}, -0.5},
		{33, []float64{20, 10}, 1.3}, // a weak baseline
		{20, []float64{20}, 0},
		{22, []float64{20}, 0.1},
	} {
		if got := benefit(c.goodput, c.alone); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("benefit(%v, %v) = %v, want %v", c.goodput, c.alone, got, c.want)
		}
	}
}

func TestJain(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{[]float64{5, 5}, 1}, {[]float64{5, 0}, 0.5}, {[]float64{1, 0, 0, 0}, 0.25}, {[]float64{3, 1}, 0.8}} {
		if got := jain(c.x); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("jain(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	if !math.IsNaN(jain([]float64{0, 0})) {
		t.Error("fairness of nothing")
	}
}

func TestEstimate(t *testing.T) {
	five := estimate([]float64{5, 1, 4, 2, 3})
	if five.Median != 3 || five.Low != 1 || five.High != 5 || five.Level != 0.9375 || five.N != 5 {
		t.Errorf("of five: %+v", five)
	}
	one := estimate([]float64{7})
	if one.Median != 7 || one.Low != 7 || one.High != 7 || one.Level != 0 {
		t.Errorf("of one: %+v", one)
	}
	many := make([]float64, 20)
	for i := range many {
		many[i] = float64(i)
	}
	// Order statistics 6 and 15 of 20: 95.9 %.
	if e := estimate(many); e.Median != 9.5 || e.Low < 4 || e.Low > 6 || e.High < 13 || e.High > 15 || e.Level < .95 {
		t.Errorf("of twenty: %+v", e)
	}
}

func TestRanks(t *testing.T) {
	around := func(v float64) []float64 { return []float64{v, v * 1.002, v * 0.998, v * 1.001, v * 0.999} }
	for _, c := range []struct {
		samples [][]float64
		want    []int
	}{
		{[][]float64{around(90), around(60), around(75)}, []int{1, 3, 2}},
		{[][]float64{around(90), around(90.5), around(60)}, []int{1, 1, 3}}, // 0.5 % is nothing
		{[][]float64{{90, 91, 92}, {1, 2, 3}}, []int{0, 0}},                 // too few
		{[][]float64{around(90), nil, around(60)}, []int{1, 0, 2}},
		{[][]float64{{5, 5, 5, 5}, {5, 5, 5, 5}}, []int{1, 1}},
	} {
		if got := ranks(c.samples); !slices.Equal(got, c.want) {
			t.Errorf("ranks(%v) = %v, want %v", c.samples, got, c.want)
		}
	}
}

func TestStatisticsProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alone := rapid.SliceOfN(rapid.Float64Range(0.1, 1000), 1, 16).Draw(t, "alone")
		a := rapid.Float64Range(0, 3000).Draw(t, "a")
		b := rapid.Float64Range(0, 3000).Draw(t, "b")
		if x, y := benefit(min(a, b), alone), benefit(max(a, b), alone); x > y+1e-9 || x < -1 {
			t.Fatalf("benefit falls from %g to %g", x, y)
		}
		if j := jain(alone); j > 1+1e-9 || j < 1/float64(len(alone))-1e-9 {
			t.Fatalf("jain = %g of %d", j, len(alone))
		}
		if e := estimate(alone); e.Low > e.Median || e.Median > e.High || e.N != len(alone) || e.Level < 0 || e.Level > 1 {
			t.Fatalf("%+v of %v", e, alone)
		}
		q := quantiles(alone)
		if !slices.IsSorted(q) || len(q) != 101 {
			t.Fatalf("quantiles %v", q)
		}
	})
}
