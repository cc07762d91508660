package report

import (
	"math"
	"reflect"
	"testing"
	"time"
)

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v    any
		want float64
		ok   bool
	}{
		{7, 7, true}, {int64(-7), -7, true}, {uint64(7), 7, true}, {float32(0.5), 0.5, true}, {0.25, 0.25, true},
		{time.Microsecond, 1000, true},
		{nil, 0, false}, {"7", 0, false}, {true, 0, false}, {map[string]any{}, 0, false},
	} {
		if got, ok := Number(c.v); got != c.want || ok != c.ok {
			t.Errorf("%#v is %v, %v; want %v, %v", c.v, got, ok, c.want, c.ok)
		}
	}
}

func TestFinite(t *testing.T) {
	tree := map[string]any{
		"a": math.NaN(), "b": 1.5, "c": "x", "d": nil,
		"list": []any{math.Inf(1), 2, map[string]any{"e": math.Inf(-1)}},
	}
	want := map[string]any{
		"a": nil, "b": 1.5, "c": "x", "d": nil,
		"list": []any{nil, 2, map[string]any{"e": nil}},
	}
	if got := Finite(tree); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if v, ok := tree["a"].(float64); !ok || !math.IsNaN(v) {
		t.Errorf("the tree itself has %v now", tree["a"])
	}
	if got, ok := Finite(map[string]any(nil)).(map[string]any); !ok || got == nil {
		t.Errorf("no measurements are %#v", got)
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{3: {5, 1, 3}, 2.5: {4, 1, 2, 3}, 7: {7}} {
		first := values[0]
		if got := Median(values); got != want || values[0] != first {
			t.Errorf("the median of %v is %v, want %v", values, got, want)
		}
	}
	if v := Median(nil); !math.IsNaN(v) {
		t.Errorf("the median of nothing is %v", v)
	}
}
