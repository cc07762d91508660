package compare

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
)

// TestResume: what is in the folder is not run again, also after a record that
// was being written when the process died; what failed is.
func TestResume(t *testing.T) {
	p := planOf(t, "virtual", text)
	dir := t.TempDir()
	cells := p.Cells()
	s, err := Open(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	if left := s.Left(cells); len(left) != len(cells) {
		t.Fatalf("%d of %d left at first", len(left), len(cells))
	}
	good := Record{Cell: cells[0], Verdict: report.Pass, Measurements: map[string]any{"x": 1.5}}
	if err := s.Append(good, Record{Cell: cells[1], Error: "broken"}, Record{Cell: cells[2], Verdict: report.Inconclusive}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, p); err == nil || !strings.Contains(err.Error(), "at work") {
		t.Errorf("opened twice: %v", err)
	}
	s.Close()
	f, err := os.OpenFile(filepath.Join(dir, cellsFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"scenario":"two","ki`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	s, err = Open(dir, planOf(t, "virtual", text))
	if err != nil {
		t.Fatal(err)
	}
	left := s.Left(cells)
	if len(left) != len(cells)-1 || left[0] != cells[1] || left[1] != cells[2] {
		t.Errorf("left: %v", left)
	}
	if got := s.Records()[cells[0]].Measurements["x"]; got != 1.5 {
		t.Errorf("read back as %v", got)
	}
	if err := s.Append(Record{Cell: cells[1], Verdict: report.Pass}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if s, err = Open(dir, p); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left := s.Left(cells); len(left) != len(cells)-2 {
		t.Errorf("%d of %d left after all", len(left), len(cells))
	}
}

// TestNumbersWithoutAForm: a number that JSON has no form for, wherever it is,
// does not keep a record from being stored.
func TestNumbersWithoutAForm(t *testing.T) {
	p := planOf(t, "virtual", text)
	s, err := Open(t.TempDir(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cell := p.Cells()[0]
	if err := s.Append(newRecord(cell, &report.Result{Verdict: report.Pass, Measurements: map[string]any{
		"goodput": 1.5, "capacity": math.Inf(1), "list": []any{math.NaN(), map[string]any{"rtt": math.NaN()}, 2.5},
	}}, nil)); err != nil {
		t.Fatal(err)
	}
	_, records, err := read(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	got := flatten(records[0].Measurements)
	if want := map[string]float64{"goodput": 1.5, "list.2": 2.5}; !maps.Equal(got, want) {
		t.Errorf("read back as %v, want %v", got, want)
	}
}

func TestOtherPlan(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, planOf(t, "virtual", text))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	other := planOf(t, "virtual", text)
	other.Shard = Shard{1, 2}
	_, err = Open(dir, other)
	var different *DifferentError
	if !errors.As(err, &different) || !strings.Contains(err.Error(), "shard: 1/2 here, whole there") || !strings.Contains(err.Error(), "--out") {
		t.Errorf("got %v", err)
	}
}

func TestSpoiltFolders(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"not the plan of":   {planFile: "{"},
		"has no scenario":   {planFile: `{"cases":[{}]}`},
		"line 2":            {cellsFile: "{}\nnonsense\n"},
		"no such file":      {},
		"not the folder of": nil,
	} {
		dir := t.TempDir()
		p := planOf(t, "virtual", text)
		switch {
		case files == nil: // nothing there
		case len(files) == 0:
			if err := writePlan(dir, p); err != nil {
				t.Fatal(err)
			}
		default:
			if files[planFile] == "" {
				if err := writePlan(dir, p); err != nil {
					t.Fatal(err)
				}
			}
			for file, text := range files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, _, err := read(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

func TestMerge(t *testing.T) {
	whole := planOf(t, "virtual", text, strings.Replace(text, "name: two", "name: other", 1))
	var dirs []string
	for i := 1; i <= 3; i++ {
		part := *whole
		part.Shard = Shard{i, 3}
		s := runAll(t, &part)
		dirs = append(dirs, s.dir)
		s.Close()
	}
	out := t.TempDir()
	p, s, err := Merge(out, dirs[:2])
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Left(p.Cells())); n == 0 || n == len(p.Cells()) {
		t.Errorf("%d of %d left of two shards", n, len(p.Cells()))
	}
	s.Close()
	// Again, with a shard twice and the last one.
	p, s, err = Merge(out, append(dirs, dirs[0]))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if left := s.Left(p.Cells()); len(left) > 0 || p.Shard != (Shard{}) {
		t.Errorf("left: %v", left)
	}
	together := summarise(p, s.Records())
	alone := summarise(whole, runAll(t, whole).Records())
	for i, row := range together.Rows {
		if a, b := row.Metrics["efficiency"], alone.Rows[i].Metrics["efficiency"]; a != b {
			t.Errorf("%s %s: %v in shards, %v as a whole", row.Scenario, row.Scheduler, a, b)
		}
	}

	other := planOf(t, "virtual", text)
	elsewhere := t.TempDir()
	o, err := Open(elsewhere, other)
	if err != nil {
		t.Fatal(err)
	}
	o.Close()
	var different *DifferentError
	_, _, err = Merge(t.TempDir(), []string{dirs[0], elsewhere})
	if want := fmt.Sprintf("%s (here) and %s (there) are not of one comparison", dirs[0], elsewhere); !errors.As(err, &different) ||
		!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "--out") {
		t.Errorf("merged with another comparison: %v", err)
	}
	if _, _, err := Merge(dirs[1], dirs[:1]); !errors.As(err, &different) {
		t.Errorf("merged into a shard: %v", err)
	}
}
