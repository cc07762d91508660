package scenario

import (
	"reflect"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/report"
)

func TestLinkConfig(t *testing.T) {
	im := Impairment{
		Rate: 1e6, Delay: 1, Jitter: 2, Distribution: "normal", Loss: Loss{P: 0.1, R: 0.2, Good: 0.3, Bad: 0.4},
		Reorder: 0.5, Duplicate: 0.6, Corrupt: 0.7, Queue: Queue{Time: 3, Bytes: 4, Packets: 5}, MTU: 1400,
	}
	want := link.Config{
		Rate: 1e6, Delay: 1, Jitter: 2, Distribution: link.Normal, Loss: link.Loss{P: 0.1, R: 0.2, Good: 0.3, Bad: 0.4},
		Reorder: 0.5, Duplicate: 0.6, Corrupt: 0.7, Queue: link.Queue{Time: 3, Bytes: 4, Packets: 5}, MTU: 1400,
	}
	if got, err := im.LinkConfig(); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	im.Trace = t.TempDir() + "/none"
	if _, err := im.LinkConfig(); err == nil {
		t.Error("a trace that is not there is no error")
	}
}

// The values are fixed: a scenario and seed give the same run ever after.
func TestDeriveSeed(t *testing.T) {
	seen := map[uint64][]string{}
	for _, parts := range [][]string{nil, {"a"}, {"a", "up"}, {"aup"}, {"a", "down"}, {"a", "up", ""}} {
		seed := DeriveSeed(1, parts...)
		if other, ok := seen[seed]; ok {
			t.Errorf("%q and %q have the same seed", parts, other)
		}
		seen[seed] = parts
	}
	if got, want := DeriveSeed(1, "wlan0", "up"), uint64(0xbc86528f2e06fd8d); got != want {
		t.Errorf("seed %#x, want %#x", got, want)
	}
}

func TestOverlay(t *testing.T) {
	under := map[string]any{"a": 1, "t": map[string]any{"x": 1, "y": 2}, "u": map[string]any{"z": 3}}
	over := map[string]any{"b": 2, "t": map[string]any{"y": 4}, "u": 5}
	want := map[string]any{"a": 1, "b": 2, "t": map[string]any{"x": 1, "y": 4}, "u": 5}
	if got := Overlay(under, over); !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if under["t"].(map[string]any)["y"] != 2 {
		t.Error("the map below has changed")
	}
	if got := Overlay(nil, over); !reflect.DeepEqual(got, over) {
		t.Errorf("over nothing: %v", got)
	}
}

func TestMeasurements(t *testing.T) {
	got := Measurements(map[string]any{
		"a": 1, "b": int64(2), "c": uint64(3), "d": 0.5, "e": "text", "f": true, "g": map[string]any{"h": 4},
	})
	want := map[string]any{
		"a": 1.0, "b": 2.0, "c": 3.0, "d": 0.5, "e": "text", "f": true, "g": map[string]any{"h": 4.0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestVerdict(t *testing.T) {
	held, not := []report.Expectation{{OK: true}}, []report.Expectation{{OK: true}, {}}
	for _, c := range []struct {
		name           string
		broken, unsure []string
		judged         []report.Expectation
		want           report.Verdict
		reason         string
	}{
		{"all hold", nil, nil, held, report.Pass, ""},
		{"nothing expected", nil, nil, nil, report.Pass, ""},
		{"one does not hold", nil, nil, not, report.Fail, ""},
		{"in doubt", nil, []string{"late", "later"}, not, report.Inconclusive, "late; later"},
		{"broken", []string{"a", "b"}, []string{"late"}, held, report.Fail, "a\nb"},
	} {
		if got, reason := Verdict(c.broken, c.unsure, c.judged); got != c.want || reason != c.reason {
			t.Errorf("%s: %s, %q; want %s, %q", c.name, got, reason, c.want, c.reason)
		}
	}
}

func TestEnds(t *testing.T) {
	sized, timed, open := Traffic{Size: 1}, Traffic{Start: time.Second, Duration: 2 * time.Second}, Traffic{}
	for _, c := range []struct {
		name    string
		traffic []Traffic
		want    bool
	}{
		{"by size", []Traffic{sized}, true},
		{"by size and time", []Traffic{sized, timed}, true},
		{"by time", []Traffic{timed}, false},
		{"one without an end", []Traffic{sized, open}, false},
		{"none", nil, false},
	} {
		if got := (&Scenario{Traffic: c.traffic}).EndsBySize(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if got := timed.End(10 * time.Second); got != 3*time.Second {
		t.Errorf("ends at %v", got)
	}
	if got := timed.End(2 * time.Second); got != 2*time.Second {
		t.Errorf("cut off at %v", got)
	}
	if got := open.End(10 * time.Second); got != 10*time.Second {
		t.Errorf("without an end of its own it ends at %v", got)
	}
}
