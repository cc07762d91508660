package compare

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

func TestCells(t *testing.T) {
	other := strings.Replace(text, "name: two", "name: other", 1)
	onlyPast := "name: past\nduration: 5s\nlinks: [{name: a0}]\ntraffic: [{name: dl, kind: tcp, via: \"link:a0\"}]\n"
	p := planOf(t, scenario.Namespaces, text, other, onlyPast)
	p.Runs = 2
	var got []string
	for _, c := range p.Cells() {
		got = append(got, c.Scenario+" "+c.Label())
	}
	one := []string{"alone:a0", "alone:b0", "bare:a0", "bare:b0", "mptcp", "good", "bad"}
	var want []string
	for range 2 { // seed by seed
		for _, name := range []string{"two", "other"} {
			for _, label := range one {
				want = append(want, name+" "+label)
			}
		}
		want = append(want, "past good", "past bad")
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if c := p.Cells()[0]; c.Seed != 7 {
		t.Errorf("the first seed is %d, the scenario's is 7", c.Seed)
	}
	virtual := planOf(t, "virtual", text)
	if slices.ContainsFunc(virtual.Cells(), func(c Cell) bool { return c.Kind == MPTCP }) {
		t.Error("there is no MPTCP in virtual time")
	}
}

// TestShards: the shards have all cells, each once, and what is compared with
// each other is in one shard.
func TestShards(t *testing.T) {
	p := planOf(t, "virtual", text, strings.Replace(text, "name: two", "name: other", 1), strings.Replace(text, "name: two", "name: third", 1))
	rapid.Check(t, func(t *rapid.T) {
		whole := *p
		whole.Runs = rapid.IntRange(1, 5).Draw(t, "runs")
		n := rapid.IntRange(1, 20).Draw(t, "shards")
		seen := map[Cell]int{}
		groups := map[group]int{}
		for i := 1; i <= n; i++ {
			part := whole
			part.Shard = Shard{i, n}
			for _, c := range part.Cells() {
				seen[c]++
				if other, ok := groups[c.group()]; ok && other != i {
					t.Fatalf("%v is in shards %d and %d", c.group(), other, i)
				}
				groups[c.group()] = i
			}
		}
		for _, c := range whole.Cells() {
			if seen[c] != 1 {
				t.Fatalf("%v is there %d times", c, seen[c])
			}
			delete(seen, c)
		}
		if len(seen) > 0 {
			t.Fatalf("cells that are not in the whole: %v", seen)
		}
	})
}

func TestParseShard(t *testing.T) {
	for text, want := range map[string]Shard{"": {}, "1/1": {1, 1}, "3/8": {3, 8}} {
		if got, err := ParseShard(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0/4", "5/4", "-1/4", "1", "a/b", "1/0", "1/4/2"} {
		if _, err := ParseShard(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestScenarioOf(t *testing.T) {
	p := planOf(t, scenario.Namespaces, text)
	c := &p.Cases[0]
	for _, cell := range p.Cells() {
		one := c.scenarioOf(cell)
		if one.Seed != cell.Seed || one.Baseline != "" || one.Expect != nil {
			t.Errorf("%s: seed %d, baseline %q, %d expectations", cell.Label(), one.Seed, one.Baseline, len(one.Expect))
		}
		links, scheduler := 2, any(nil)
		switch cell.Kind {
		case Tunnel:
			scheduler = cell.Name
		case Alone, Bare:
			links = 1
		}
		if len(one.Links) != links || one.Client["scheduler"] != scheduler {
			t.Errorf("%s: %d links, scheduler %v", cell.Label(), len(one.Links), one.Client["scheduler"])
		}
		if (cell.Kind == Tunnel || cell.Kind == Alone) && one.Client["reorder"] != "flow" {
			t.Errorf("%s: other keys are lost: %v", cell.Label(), one.Client)
		}
	}
	if c.runs.Client["scheduler"] != "wrr" || c.runs.Baseline != "alone" {
		t.Error("the scenario was changed")
	}
}

// TestCaseTravels: a case is the same on a machine where its files are
// elsewhere, and another where a trace is another.
func TestCaseTravels(t *testing.T) {
	at := func(trace string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "t.trace"), []byte(trace), 0o644); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "x.yaml")
		text := "name: x\nduration: 5s\nlinks: [{name: a, both: {trace: t.trace}}]\ntimeline: [{at: 1s, link: a, do: set, both: {trace: t.trace}}]\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sc, err := scenario.Load(path, scenario.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c, err := NewCase(sc, "", "virtual")
		if err != nil {
			t.Fatal(err)
		}
		if !filepath.IsAbs(c.runs.Links[0].Up.Trace) || !filepath.IsAbs(c.runs.Timeline[0].Up.Trace) {
			t.Error("what is run has lost its trace")
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	here := at("1\n2\n")
	if at("1\n2\n") != here {
		t.Error("the folder is in the plan")
	}
	if at("1\n3\n") == here {
		t.Error("the trace is not in the plan")
	}
}

func TestDifference(t *testing.T) {
	p := planOf(t, "virtual", text)
	same := planOf(t, "virtual", text)
	same.Shard, same.Command = Shard{1, 2}, nil
	if lines := p.Difference(same); lines != nil {
		t.Errorf("a shard of it differs: %q", lines)
	}
	for _, c := range []struct {
		change func(*Plan)
		says   string
	}{
		{func(p *Plan) { p.Schedulers = []string{"good"} }, "schedulers: good,bad here, good there"},
		{func(p *Plan) { p.Program = "sha256:2" }, "the programs: sha256:1 here, sha256:2 there"},
		{func(p *Plan) { p.Runs = 5 }, "runs: 4 here, 5 there"},
		{func(p *Plan) { p.Baselines = nil }, "baselines"},
		{func(p *Plan) { p.Impair = "user" }, "impairs"},
		{func(p *Plan) { p.Cases = nil }, "scenarios only here: two"},
		{func(p *Plan) { p.Cases[0].Point = "x" }, "scenarios only there: two at x"},
		{func(p *Plan) { p.Cases[0].Scenario.Duration++ }, "scenarios changed: two"},
	} {
		other := planOf(t, "virtual", text)
		c.change(other)
		if lines := strings.Join(p.Difference(other), "\n"); !strings.Contains(lines, c.says) {
			t.Errorf("got %q, want %q", lines, c.says)
		}
	}
}

// group is what cells share that are compared with each other: they are run
// next to each other, on one machine.
type group struct {
	scenario, point string
	seed            uint64
}

func (c Cell) group() group { return group{c.Scenario, c.Point, c.Seed} }
