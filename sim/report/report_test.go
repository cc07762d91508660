package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func results() []*Result {
	return []*Result{
		{
			Scenario: "home", Backend: "netns", Impair: "user", Seed: 7, Verdict: Fail, Seconds: 23.4,
			Measurements: map[string]any{
				"dl": map[string]any{"goodput": 66.1e6, "bytes": uint64(165e6), "stall": 0.041, "retransmits": 12,
					"reordered": 0.0123, "fct": map[string]any{"p50": math.NaN()}},
				"updn":     map[string]any{"down": map[string]any{"goodput": 800.0}, "up": map[string]any{"goodput": 2.5e9}},
				"capacity": map[string]any{"down": 67.7e6, "up": math.Inf(1)},
				"link": map[string]any{"wlan0": map[string]any{
					"down": map[string]any{"bytes": 120e6, "packets": 80000, "dropped": 3, "queued_max": 64000}}},
				"client": map[string]any{"state": "up"},
			},
			Expectations: []Expectation{
				{Expr: "dl.goodput >= 0.95 * capacity.down", OK: true, Left: 66.1e6, Right: 64.3e6},
				{Expr: "dl.stall <= 0.03", Left: 0.041, Right: 0.03},
				{Expr: `a < "b" && c`, Error: "c was not measured"},
			},
			Series:      map[string]Series{"dl.goodput": {T: []float64{0, 0.1}, V: []float64{1, 2}}},
			Environment: Environment{Kernel: "6.1.0", Version: "v1", Go: "go1.26", CPUs: 2, Commands: []string{"multilink client"}},
		},
		{
			Scenario: "late", Backend: "netns", Seed: 1, Verdict: Inconclusive, Reason: "late by 2 ms at p99", Seconds: 1,
			Expectations: []Expectation{{Expr: "dl.stall <= 1", Left: 3.0, Right: 1}},
		},
		{Scenario: "broken", Backend: "netns", Seed: 1, Verdict: Fail, Reason: "the client died: exit status 1"},
	}
}

func TestGolden(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"one.json":     func(w io.Writer) error { return WriteJSON(w, results()[:1]) },
		"several.json": func(w io.Writer) error { return WriteJSON(w, results()) },
		"junit.xml":    func(w io.Writer) error { return WriteJUnit(w, results()) },
		"text.txt": func(w io.Writer) error {
			for _, r := range results() {
				if err := WriteText(w, r); err != nil {
					return err
				}
			}
			return WriteSummary(w, results())
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			switch filepath.Ext(name) {
			case ".json":
				if !json.Valid(got.Bytes()) {
					t.Error("not JSON")
				}
			case ".xml":
				if err := xml.Unmarshal(got.Bytes(), new(junitSuites)); err != nil {
					t.Error(err)
				}
			}
			path := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got\n%s\nwant\n%s", got.Bytes(), want)
			}
		})
	}
}

// TestWriteFile: a file is there as a whole or as it was.
func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.json")
	say := func(text string, err error) error {
		return WriteFile(path, func(w io.Writer) error {
			_, _ = io.WriteString(w, text)
			return err
		})
	}
	if err := say("first", nil); err != nil {
		t.Fatal(err)
	}
	if err := say("second", errors.New("broken off")); err == nil {
		t.Error("no error")
	}
	if got, _ := os.ReadFile(path); string(got) != "first" {
		t.Errorf("the file has %q", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	if err := WriteFile(filepath.Join(dir, "none", "x"), func(io.Writer) error { return nil }); err == nil {
		t.Error("written into a folder that does not exist")
	}
}
