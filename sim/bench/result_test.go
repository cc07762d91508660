package bench

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"
)

// measured is a result of three pairs with the given figures of one stream.
func measured(product, reference []float64) *Result {
	r := newResult(Options{Pairs: len(product), Time: time.Second})
	for i := range product {
		r.add(productName, "tcp1-down.goodput", product[i])
		r.add(referenceName, "tcp1-down.goodput", reference[i])
	}
	r.finish(0, 0)
	return r
}

func TestRatioIsOfPairs(t *testing.T) {
	r := measured([]float64{4e9, 6e9, 2e9}, []float64{2e9, 2e9, 1e9})
	if len(r.Comparisons) != 1 {
		t.Fatalf("%d comparisons, want the one that has figures", len(r.Comparisons))
	}
	c := r.Comparisons[0]
	if c.Median != 2 || c.Low != 2 || c.High != 3 {
		t.Errorf("median %v from %v to %v, want 2 from 2 to 3", c.Median, c.Low, c.High)
	}
	if got := c.verdict(); got != "goal reached" {
		t.Errorf("%v of goal 1.8 and aim 2.2 is %q", c.Median, got)
	}
}

func TestWhatFeaturesCost(t *testing.T) {
	r := newResult(Options{Pairs: 2, Time: time.Second, Features: true})
	for range 2 {
		r.add(productName, "tcp4-up.goodput", 2e9)
		for i, f := range features() {
			r.add(f.tunnelName(), "tcp4-up.goodput", 2e9+float64(i)*2e8)
		}
	}
	r.finish(0, 0)
	if len(r.Comparisons) != 4 {
		t.Fatalf("%d comparisons, want one for each feature", len(r.Comparisons))
	}
	c := r.Comparisons[3]
	if want := "tcp4-up.goodput, without retention / with"; c.Name != want || c.Median < 1.29 || c.Median > 1.31 {
		t.Errorf("%s: %v, want 1.3 for %s", c.Name, c.Median, want)
	}
}

// TestFeaturesAreSwitchedOffAlone looks at what each tunnel's client is told.
func TestFeaturesAreSwitchedOffAlone(t *testing.T) {
	all := map[string]any{"reorder": "global"}
	specs := products(Options{Features: true, Client: all})
	if len(specs) != 2+len(features()) {
		t.Fatalf("%d tunnels", len(specs))
	}
	for i, spec := range specs {
		if spec.number != i+1 {
			t.Errorf("%s has the number %d of another", spec.name, spec.number)
		}
	}
	for i, f := range features() {
		spec := specs[2+i]
		want := maps.Clone(all)
		maps.Copy(want, f.off)
		if !maps.Equal(spec.client, want) {
			t.Errorf("%s is told %v, want %v", spec.name, spec.client, want)
		}
	}
	if len(all) != 1 {
		t.Errorf("what all have set is now %v", all)
	}
	if n := len(products(Options{})); n != 2 {
		t.Errorf("%d tunnels without features, want 2", n)
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		c    Comparison
		want string
	}{
		{Comparison{Median: 1.7, Goal: 1.8, Aim: 2.2}, "MISSED"},
		{Comparison{Median: 2.2, Goal: 1.8, Aim: 2.2}, "aim reached"},
		{Comparison{Median: 0.6, Goal: 0.5, Aim: 0.2, Less: true}, "MISSED"},
		{Comparison{Median: 0.3, Goal: 0.5, Aim: 0.2, Less: true}, "goal reached"},
		{Comparison{Median: 3}, ""},
	}
	for _, test := range tests {
		if got := test.c.verdict(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.c, got, test.want)
		}
	}
}

func TestAddedRoundTripIsADifference(t *testing.T) {
	r := newResult(Options{Pairs: 1, Time: time.Second})
	r.add(productName, "ping.ping", 0.0005)
	r.add(bareName, "ping.ping", 0.0002)
	r.finish(0, 0)
	if len(r.Comparisons) != 1 || r.Comparisons[0].Median < 0.299 || r.Comparisons[0].Median > 0.301 {
		t.Errorf("got %+v, want 0.3 ms added", r.Comparisons)
	}
}

func TestNoise(t *testing.T) {
	calm := map[string][]float64{"x": {1, 1.2, 1.1}}
	if got := noise(0.01, 0.02, calm); len(got) != 0 {
		t.Errorf("a calm machine is noisy: %v", got)
	}
	if got := noise(0.03, 0, calm); len(got) != 1 || !strings.Contains(got[0], "hypervisor") {
		t.Errorf("stolen time gives %v", got)
	}
	if got := noise(0, 0.06, calm); len(got) != 1 || !strings.Contains(got[0], "6 % of the processor time was in use") {
		t.Errorf("other work gives %v", got)
	}
	if got := noise(0, 0, map[string][]float64{"x": {1, 2, 1}}); len(got) != 1 || !strings.Contains(got[0], "x of wireguard-go") {
		t.Errorf("drift gives %v", got)
	}
}

func TestShareOfProcessorTime(t *testing.T) {
	busy, stolen := processorTime{all: 300, busy: 120, stolen: 7}.share(processorTime{all: 100, busy: 100, stolen: 5})
	if busy != 0.1 || stolen != 0.01 {
		t.Errorf("%v busy and %v stolen of 200 ticks, want 0.1 and 0.01", busy, stolen)
	}
	if now := processors(); now.all <= now.busy || now.busy <= 0 {
		t.Errorf("this machine: %+v", now)
	}
}

func TestPrintTellsEverything(t *testing.T) {
	r := measured([]float64{3e9, 3e9}, []float64{2e9, 4e9})
	var out bytes.Buffer
	r.Print(&out)
	for _, want := range []string{"3.00 Gbit/s", "tcp1-down.goodput / wireguard-go", "MISSED", "too noisy"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestOptions(t *testing.T) {
	tests := map[string]Options{
		"no pair":     {Time: time.Second},
		"no time":     {Pairs: 1},
		"no exercise": {Pairs: 1, Time: time.Second, Only: []string{"tcp9"}},
	}
	for name, o := range tests {
		if _, err := chosen(o); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v, want an error of usage", name, err)
		}
	}
	list, err := chosen(Options{Pairs: 1, Time: time.Second, Only: []string{"ping", "udp-64"}})
	if err != nil || len(list) != 2 {
		t.Errorf("%d exercises, %v: want 2", len(list), err)
	}
}
