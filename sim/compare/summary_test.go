package compare

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

func find(t *testing.T, s *Summary, label string) Row {
	t.Helper()
	i := slices.IndexFunc(s.Rows, func(r Row) bool { return r.Scheduler == label })
	if i < 0 {
		t.Fatalf("no row %s", label)
	}
	return s.Rows[i]
}

func TestSummary(t *testing.T) {
	p := planOf(t, scenario.Namespaces, text)
	s := summarise(p, runAll(t, p).Records())
	if s.Cells != (Count{Planned: 28, Usable: 28}) {
		t.Errorf("%+v", s.Cells)
	}
	good, bad := find(t, s, "good"), find(t, s, "bad")
	for _, c := range []struct {
		row    Row
		metric string
		want   float64
	}{
		{good, "efficiency", 1}, {bad, "efficiency", 0.6},
		{good, benefitKey, 1}, {bad, benefitKey, -0.1}, // 18 of 20
		{good, bestRatioKey, 1.5}, {good, "ping_p95", 0.04}, {good, "reordered", 0.001}, {good, "stall", 0.05},
		{good, "ramp", 5},         // 90 % is reached in the bin from 4.5 s on
		{good, "first_10s", 0.75}, // half of it for 5 s, then all
		{find(t, s, "alone:a0"), "efficiency", 20. / 30},
	} {
		e, ok := c.row.Metrics[c.metric]
		if !ok || math.Abs(e.Median-c.want) > 0.02 || e.N != 4 {
			t.Errorf("%s of %s: %+v, want %g", c.metric, c.row.Scheduler, e, c.want)
		}
	}
	if good.Rank != 1 || bad.Rank != 2 || good.PBest != nil || bad.PBest == nil || *bad.PBest > 0.05 {
		t.Errorf("ranks %d and %d, p %v", good.Rank, bad.Rank, bad.PBest)
	}
	if h := good.Expectations; len(h) != 2 || h[0].Held != 4 || h[0].Runs != 4 || h[0].Left == nil || *h[0].Left < *h[0].Right {
		t.Errorf("expectations of good: %+v", h)
	}
	if h := bad.Expectations; h[0].Held != 0 || h[1].Held != 4 || *h[1].Right != 0.045 {
		t.Errorf("expectations of bad: %+v", h)
	}
	if o := s.Overall; o[0].First != 1 || o[1].First != 0 || o[1].MeanRank != 2 || math.Abs(*o[1].Efficiency-.6) > .01 {
		t.Errorf("overall: %+v", o)
	}
}

// TestNotComparable: where links share a bottleneck or things happen on the
// way, nothing is held against the links alone.
func TestNotComparable(t *testing.T) {
	for name, change := range map[string]func(*scenario.Scenario){
		"timeline": func(sc *scenario.Scenario) { sc.Timeline = []scenario.Action{{At: 1, Do: "unplug", Link: "a0"}} },
		"bottleneck": func(sc *scenario.Scenario) {
			sc.Bottlenecks = []scenario.Bottleneck{{Name: "x", Links: []string{"a0", "b0"}}}
		},
	} {
		p := planOf(t, "virtual", text)
		change(p.Cases[0].Scenario)
		good := find(t, summarise(p, runAll(t, p).Records()), "good")
		if _, ok := good.Metrics["efficiency"]; ok || good.Metrics["goodput"].N != 4 {
			t.Errorf("%s: %+v", name, good.Metrics)
		}
	}
}

// TestBaselineMissing: without its baseline a run is not judged, and has no
// efficiency; the rest of it counts.
func TestBaselineMissing(t *testing.T) {
	p := planOf(t, "virtual", text)
	records := runAll(t, p).Records()
	for cell, r := range records {
		if cell.Kind == Alone && cell.Name == "b0" && cell.Seed == 8 {
			r.Verdict, r.Reason = report.Inconclusive, "late"
			records[cell] = r
		}
	}
	s := summarise(p, records)
	good := find(t, s, "good")
	if good.Metrics["goodput"].N != 4 || good.Metrics["efficiency"].N != 3 || good.Expectations[0].Runs != 3 {
		t.Errorf("%+v", good)
	}
	if len(s.Failures) != 1 || s.Failures[0].Reason != "inconclusive: late" {
		t.Errorf("%v", s.Failures)
	}
}

// TestDirections: what goes both ways is added up, and so is what it is held
// against.
func TestDirections(t *testing.T) {
	sc := parse(t, strings.Replace(text[:strings.Index(text, "expect")], "kind: tcp", "kind: tcp, direction: both", 1))
	c, err := NewCase(sc, "", "virtual")
	if err != nil {
		t.Fatal(err)
	}
	r := Record{Measurements: map[string]any{
		"dl":       map[string]any{"down": map[string]any{"goodput": 30e6, "stall": 0.1}, "up": map[string]any{"goodput": 10e6, "stall": 0.3}},
		"capacity": map[string]any{"down": 40e6, "up": 20e6},
	}}
	one := &run{of: &c, record: &r, alone: []float64{25e6, 25e6}}
	for name, v := range map[string][2]float64{
		"goodput": {one.goodput(), 40e6}, "stall": {one.stall(), 0.3},
		"capacity": {one.capacityShare(), 40. / 60}, "efficiency": {one.efficiency(), 0.8}, "fairness": {one.fairness(), 0.8},
	} {
		if math.Abs(v[0]-v[1]) > 1e-9*v[1] {
			t.Errorf("%s = %g, want %g", name, v[0], v[1])
		}
	}
}

// pointsPlan has the scenario at three points of two classes.
func pointsPlan(t *testing.T) *Plan {
	p := planOf(t, "virtual")
	p.Baselines = []Kind{Alone}
	for _, point := range []string{"low-1", "low-2", "high-1"} {
		c, err := NewCase(parse(t, text), point, "virtual")
		if err != nil {
			t.Fatal(err)
		}
		p.Cases = append(p.Cases, c)
	}
	return p
}

func TestClasses(t *testing.T) {
	p := pointsPlan(t)
	s := summarise(p, runAll(t, p).Records())
	var got []string
	for _, c := range s.Classes {
		got = append(got, c.Class+" "+c.Scheduler)
		want := map[string]int{"all": 3, "low": 2, "high": 1}[c.Class]
		if c.Points != want || len(c.Worst) != want || len(c.benefits) != want {
			t.Errorf("%+v", c)
		}
		if want := map[string]float64{"good": 1, "bad": 0}[c.Scheduler]; c.NotUnderBest != want {
			t.Errorf("%s %s: %g not under the best", c.Class, c.Scheduler, c.NotUnderBest)
		}
	}
	if want := []string{"all good", "all bad", "high good", "high bad", "low good", "low bad"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestWrite: the files are there, in the form that is documented.
func TestWrite(t *testing.T) {
	for name, p := range map[string]*Plan{"scenario": planOf(t, scenario.Namespaces, text), "points": pointsPlan(t)} {
		t.Run(name, func(t *testing.T) {
			store := runAll(t, p)
			s, err := Write(store.dir, p, store.Records())
			if err != nil {
				t.Fatal(err)
			}
			checkCSV(t, filepath.Join(store.dir, ResultsFile), p)
			data, err := os.ReadFile(filepath.Join(store.dir, SummaryFile))
			if err != nil {
				t.Fatal(err)
			}
			var again Summary
			if err := json.Unmarshal(data, &again); err != nil || len(again.Rows) != len(s.Rows) {
				t.Errorf("%v, %d rows of %d", err, len(again.Rows), len(s.Rows))
			}
			if page, err := os.ReadFile(filepath.Join(store.dir, ReportFile)); err != nil || !bytes.Contains(page, []byte(`"good"`)) {
				t.Errorf("report: %v, %d bytes", err, len(page))
			}
			var out strings.Builder
			if err := s.WriteText(&out); err != nil || !strings.Contains(out.String(), "good") {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

func checkCSV(t *testing.T, path string, p *Plan) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if want := "scenario,point,backend,scheduler,seed,verdict,measurement,value"; strings.Join(rows[0], ",") != want {
		t.Errorf("heading %q", rows[0])
	}
	efficiencies := 0
	for _, row := range rows[1:] {
		if row[6] == "metric.efficiency" && row[3] == "good" {
			efficiencies++
		}
	}
	if want := p.Runs * len(p.Cases); efficiencies != want {
		t.Errorf("%d rows with the efficiency of good, want %d", efficiencies, want)
	}
}

func TestPage(t *testing.T) {
	p := planOf(t, scenario.Namespaces, text)
	records := runAll(t, p).Records()
	out := page(p, records, summarise(p, records))
	sc := out.Scenarios[0]
	if len(sc.Rows) != 7 || sc.Rows[0].Label != "good" || sc.Rows[0].Baseline || !sc.Rows[6].Baseline {
		t.Errorf("rows: %+v", sc.Rows)
	}
	if len(sc.Timelines) != 7 || len(sc.Timelines[0].Goodput) != 80 || len(sc.Timelines[0].Links) != 1 {
		t.Errorf("%d timelines: %+v", len(sc.Timelines), sc.Timelines[0])
	}
	if d := sc.Delays[0]; len(d.Values) != 4*101 || !slices.IsSorted(d.Values) || d.Values[0] != 0.02 {
		t.Errorf("%d delays of %s", len(d.Values), d.Label)
	}
	if x := sc.Expectations; len(x) != 2 || len(x[0].By) != 2 || x[0].By[1].Held != 0 || x[0].By[0].Sides == "" {
		t.Errorf("expectations: %+v", x)
	}
	if want := "10 Mbit/s, 40ms, loss 1 %, queue 100ms"; sc.Network[1].Is != want {
		t.Errorf("network %q, want %q", sc.Network[1].Is, want)
	}
	if len(out.Commands) != 2 || out.Commands[1] != "multilink client" {
		t.Errorf("commands %q", out.Commands)
	}
}

// TestRunPage: a single run has the same page, with the links alone as they
// were measured.
func TestRunPage(t *testing.T) {
	sc := parse(t, text)
	result, _ := pretend(t.Context(), sc, "virtual")
	base := map[string]any{}
	for i, l := range sc.Links {
		one, _ := pretend(t.Context(), scenario.Single(sc, i, "alone"), "virtual")
		base[l.Name] = one.Measurements
	}
	result.Measurements["alone"] = base
	result.Verdict, result.Reason = report.Inconclusive, "late"
	out, err := RunPage([]*scenario.Scenario{sc}, []*report.Result{result}, []string{"multilink-sim", "run"}, "v1")
	if err != nil {
		t.Fatal(err)
	}
	rows := out.Scenarios[0].Rows
	if len(rows) != 3 || rows[0].Label != "wrr" || rows[1].Label != "alone:a0" || math.Abs(rows[0].Metrics["efficiency"].Median-1) > .01 {
		t.Errorf("rows: %+v", rows)
	}
	if out.Title != "two: inconclusive" || len(out.Failures) != 1 || out.Commands[0] != "multilink-sim run" {
		t.Errorf("%+v", out)
	}
	if x := out.Scenarios[0].Expectations; len(x) != 2 || x[0].By[0].Held != 1 {
		t.Errorf("expectations: %+v", x)
	}
	var html bytes.Buffer
	if err := report.WriteHTML(&html, out); err != nil {
		t.Error(err)
	}
}
