package scenario

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/report"
)

// steps is a series of samples every 100 ms: each value for so many seconds.
func steps(values ...[2]float64) report.Series {
	var s report.Series
	for _, v := range values {
		for range int(v[1] * 10) {
			s.T = append(s.T, float64(len(s.T))/10)
			s.V = append(s.V, v[0])
		}
	}
	return s
}

func TestRegained(t *testing.T) {
	sc := &Scenario{Timeline: []Action{{At: 4 * time.Second}, {At: 6 * time.Second}}}
	for name, c := range map[string]struct {
		series report.Series
		want   any
	}{
		"at once":            {steps([2]float64{10, 4}, [2]float64{5, 2}, [2]float64{10, 4}), 0.0},
		"later":              {steps([2]float64{10, 4}, [2]float64{5, 3}, [2]float64{9.6, 4}), 1.0},
		"never":              {steps([2]float64{10, 4}, [2]float64{9.4, 6}), nil},
		"for too short":      {steps([2]float64{10, 4}, [2]float64{5, 3}, [2]float64{10, 0.3}, [2]float64{5, 4}), nil},
		"nothing before":     {steps([2]float64{0, 4}, [2]float64{5, 4}), nil},
		"as the end of ramp": {steps([2]float64{5, 2}, [2]float64{10, 2}, [2]float64{5, 6}), nil},
		"nothing":            {report.Series{}, nil},
	} {
		down := map[string]any{}
		m := map[string]any{"dl": map[string]any{"down": down}}
		AddRegained(sc, m, map[string]report.Series{"dl.down.goodput": c.series, "other.goodput": c.series})
		if got := down["regained"]; got != c.want {
			t.Errorf("%s: %v, not %v", name, got, c.want)
		}
	}
	link := map[string]any{}
	m := map[string]any{"link": map[string]any{"eth0.100": map[string]any{"up": link}}}
	AddRegained(sc, m, map[string]report.Series{
		"link.eth0.100.up.rate": steps([2]float64{10, 4}, [2]float64{0, 2.5}, [2]float64{5, 4}),
		"link.gone.up.rate":     steps([2]float64{10, 9}), "link.": {}, "": {},
	})
	if link["regained"] != 0.5 {
		t.Errorf("link: %v", link["regained"])
	}
	delay := map[string]any{}
	AddRegained(sc, map[string]any{"call": map[string]any{"delay": delay}},
		map[string]report.Series{"call.delay": steps([2]float64{10, 9})})
	if len(delay) > 0 {
		t.Errorf("delay: %v", delay)
	}
	AddRegained(&Scenario{}, nil, map[string]report.Series{"dl.goodput": {}})
}

func TestRepeatedActions(t *testing.T) {
	const text = `
name: x
duration: 10s
links: [{name: a, both: {rate: 1mbit}}]
timeline:
  - {at: 1s, link: a, do: blackhole, every: 200ms, until: 2s}
  - {at: 1100ms, link: a, do: restore, every: 200ms, until: 2s}
  - {at: 1s, link: a, do: rebind}
`
	sc, err := Parse("x", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var holes int
	for i, a := range sc.Timeline {
		if i > 0 && a.At < sc.Timeline[i-1].At {
			t.Errorf("out of order at %v", a.At)
		}
		if a.Do == "blackhole" {
			holes++
		}
	}
	if holes != 5 || len(sc.Timeline) != 11 || sc.Timeline[10].At != 1900*time.Millisecond {
		t.Errorf("%d holes in %v", holes, sc.Timeline)
	}
	for _, set := range []string{
		"timeline.0.until=null", "timeline.0.every=null", "timeline.0.until=1s", "timeline.0.until=11s",
		"timeline.0.every=10us", "timeline.0={at: 0s, link: a, do: rebind, every: 1ms, until: 10s}",
	} {
		sc, err := Parse("x", []byte(text), Options{Set: []string{set}})
		if err == nil {
			t.Errorf("%s is accepted: %d actions", set, len(sc.Timeline))
		} else {
			t.Log(err)
		}
	}
}
