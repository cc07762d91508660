package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multilink-vpn/multilink/sim/compare"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// goodputs makes results with a goodput.
func goodputs(_ context.Context, sc *scenario.Scenario, _ lab.Options) (*report.Result, error) {
	return &report.Result{Scenario: sc.Name, Seed: sc.Seed, Verdict: report.Pass, Seconds: 1, Measurements: map[string]any{
		"dl": map[string]any{"goodput": 1e6, "stall": 0.1}, "capacity": map[string]any{"down": 1e6, "up": 1e6},
	}}, nil
}

func TestCompareUsage(t *testing.T) {
	t.Chdir(folder(t))
	for name, text := range map[string]string{
		"ok.csv":    "name,links.a.both.rate\nx-1,2mbit\nx-2,3mbit\n",
		"value.csv": "name,links.a.both.rate\nx-1,fast\n",
		"key.csv":   "name,links.z.both.rate\nx-1,2mbit\n",
		"twice.csv": "name,client.scheduler\nx-1,minrtt\n",
		"form.csv":  "name,links.a.both.rate\nx-1\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const compare = "compare --binary program/multilink --out out --schedulers "
	for _, c := range []struct{ line, says string }{
		{"compare pass.yaml", `required flag(s) "schedulers" not set`},
		{compare + "wrr", "an argument is missing"},
		{compare + "wr pass.yaml", `did you mean "wrr"?`},
		{compare + "wrr,wrr pass.yaml", "wrr is there twice"},
		{compare + "wrr,,minrtt pass.yaml", "an empty name"},
		{compare + "wrr --runs 0 pass.yaml", "--runs = 0: must be from 1"},
		{compare + "wrr --shard 3/2 pass.yaml", `--shard = "3/2": must be i/n`},
		{compare + "wrr --backend moon pass.yaml", `--backend = "moon"`},
		{compare + "wrr --backend netns virtual.yaml", "no scenario is left"},
		{compare + "wrr --baselines none pass.yaml", `--baselines: "none": must be of`},
		{compare + "wrr --baselines mptcp --backend virtual pass.yaml", "mptcp is the kernel's"},
		{compare + "wrr --points none.csv pass.yaml", "--points: open none.csv"},
		{compare + "wrr --points form.csv pass.yaml", "form.csv:2:1: 1 fields: the heading has 2"},
		{compare + "wrr --points value.csv pass.yaml", `value.csv:2:5: rate = "fast"`},
		{compare + "wrr --points key.csv pass.yaml", `key.csv:2:5: links has no entry "z"`},
		{compare + "wrr --points twice.csv pass.yaml", "twice.csv:1: the column client.scheduler contradicts --schedulers"},
		{compare + "wrr --set client.scheduler.up=minrtt pass.yaml", "--set client.scheduler: contradicts --schedulers"},
		{compare + "wrr wrong.yaml", "wrong.yaml:2:1"},
		{"compare --binary program/multilink --out ok.csv --schedulers wrr pass.yaml", "not a directory"},
		{"merge --out all", "an argument is missing"},
		{"merge one", `required flag(s) "out" not set`},
		{"merge --out all one", "one: there is no plan.json: not the folder of a comparison"},
		{"merge --out all none", "none: there is no plan.json: not the folder of a comparison"},
		{"merge --out all ok.csv", "ok.csv: there is no plan.json: not the folder of a comparison"},
	} {
		fake := &fakeLab{run: goodputs}
		code, out, errOut := command(t, fake, c.line)
		if code != exitUsage || len(fake.started) > 0 || !strings.Contains(out+errOut, c.says) {
			t.Errorf("%s: status %d, started %v, want %q\n%s%s", c.line, code, fake.started, c.says, out, errOut)
		}
	}
}

// TestCompareResumes: interrupted, gone on with, and finished.
func TestCompareResumes(t *testing.T) {
	t.Chdir(folder(t))
	const line = "compare --binary program/multilink --schedulers wrr,minrtt --runs 2 --baselines alone --out out pass.yaml"
	runs := 0
	fake := &fakeLab{run: func(ctx context.Context, sc *scenario.Scenario, o lab.Options) (*report.Result, error) {
		if runs++; runs == 3 {
			if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
				return nil, err
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return goodputs(ctx, sc, o)
	}}
	code, out, errOut := command(t, fake, line)
	if code != exitInconclusive || !strings.Contains(errOut, "interrupted, 4 runs left: the same command goes on") || !strings.Contains(out, "2 of 6 runs usable") {
		t.Fatalf("status %d\n%s%s", code, out, errOut)
	}
	again := &fakeLab{run: goodputs}
	code, out, errOut = command(t, again, line)
	if code != exitHeld || len(again.started) != 4 || again.swept != 1 || !strings.Contains(errOut, "2 of 6 runs are there already") {
		t.Fatalf("status %d, started %v\n%s%s", code, again.started, out, errOut)
	}
	done := &fakeLab{run: goodputs}
	if code, out, errOut = command(t, done, line); code != exitHeld || len(done.started)+done.swept > 0 {
		t.Errorf("status %d, started %v\n%s%s", code, done.started, out, errOut)
	}
	for _, file := range []string{compare.ResultsFile, compare.SummaryFile, compare.ReportFile} {
		if info, err := os.Stat(filepath.Join("out", file)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", file, err)
		}
	}
	if code, _, errOut = command(t, done, strings.Replace(line, "--runs 2", "--runs 3", 1)); code != exitUsage || !strings.Contains(errOut, "runs: 3 here, 2 there") {
		t.Errorf("another plan: status %d, %s", code, errOut)
	}
}

func TestCompareFailures(t *testing.T) {
	t.Chdir(folder(t))
	code, out, _ := command(t, &fakeLab{run: verdicts}, "compare --binary program/multilink --schedulers wrr --runs 1 --baselines bare --out broken broken.yaml")
	if code != exitFailed || !strings.Contains(out, "2 failed") {
		t.Errorf("broken: status %d\n%s", code, out)
	}
	fake := &fakeLab{run: verdicts}
	code, _, errOut := command(t, fake, "compare --binary program/multilink --schedulers wrr,minrtt --runs 3 --out machine machine.yaml")
	if code != exitMachine || len(fake.started) != 1 || !strings.Contains(errOut, "not root") {
		t.Errorf("machine: status %d, started %v\n%s", code, fake.started, errOut)
	}
}

// TestCompareWithoutMPTCP: a kernel without it is no reason to stop.
func TestCompareWithoutMPTCP(t *testing.T) {
	t.Chdir(folder(t))
	fake := &fakeLab{run: func(ctx context.Context, sc *scenario.Scenario, o lab.Options) (*report.Result, error) {
		if sc.Traffic[0].Via.Kind == "mptcp" {
			return nil, fmt.Errorf("%w: no MPTCP", lab.ErrMachine)
		}
		return goodputs(ctx, sc, o)
	}}
	code, out, _ := command(t, fake, "compare --binary program/multilink --schedulers wrr --runs 1 --out out pass.yaml")
	if code != exitFailed || !strings.Contains(out, "3 of 4 runs usable, 1 failed") {
		t.Errorf("status %d\n%s", code, out)
	}
}

// TestShardsAndPoints: a comparison over points in virtual time, in two
// shards, is whole when they are merged.
func TestShardsAndPoints(t *testing.T) {
	t.Chdir(folder(t))
	if err := os.WriteFile("p.csv", []byte("name,links.a.both.rate\nslow-1,1mbit\nslow-2,2mbit\nfast-1,3mbit\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	rates := map[float64]bool{}
	fake := &fakeLab{run: func(ctx context.Context, sc *scenario.Scenario, o lab.Options) (*report.Result, error) {
		rates[sc.Links[0].Down.Rate] = true
		return goodputs(ctx, sc, o)
	}}
	const line = "compare --backend virtual --schedulers wrr,minrtt --runs 1 --points p.csv pass.yaml"
	if code, _, errOut := command(t, fake, line+" --shard 1/2 --out one"); code != exitHeld {
		t.Fatal(errOut)
	}
	code, out, errOut := command(t, fake, "merge --out all one")
	if code != exitInconclusive || !strings.Contains(errOut, "3 runs are missing") {
		t.Errorf("one shard: status %d\n%s%s", code, out, errOut)
	}
	if code, _, errOut := command(t, fake, line+" --shard 2/2 --out two"); code != exitHeld {
		t.Fatal(errOut)
	}
	if code, out, errOut = command(t, fake, "merge --out all one two"); code != exitHeld || !strings.Contains(out, "9 of 9 runs usable") || !strings.Contains(out, "class slow") {
		t.Errorf("merged: status %d\n%s%s", code, out, errOut)
	}
	if len(rates) != 3 {
		t.Errorf("rates %v", rates)
	}
	if code, _, errOut := command(t, fake, line+" --out all"); code != exitHeld || !strings.Contains(errOut, "9 of 9 runs are there already") {
		t.Errorf("gone on with: %s", errOut)
	}
}

func TestRunReport(t *testing.T) {
	t.Chdir(folder(t))
	if code, _, errOut := command(t, &fakeLab{}, "run --report rep --binary program/multilink pass.yaml fail.yaml"); code != exitFailed {
		t.Fatalf("status %d: %s", code, errOut)
	}
	page, err := os.ReadFile("rep/report.html")
	if err != nil || !strings.Contains(string(page), "uPlot") || !strings.Contains(string(page), "pass (netns, seed 1, 1.0 s)") {
		t.Errorf("%v", err)
	}
}
