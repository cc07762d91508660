package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/virtual"
)

// TestMain lets this test be the process that simulates, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == virtual.Subcommand {
		os.Exit(virtual.Main(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

// fakeLab returns what a test wants of each scenario, one at a time.
type fakeLab struct {
	mu      sync.Mutex
	run     func(context.Context, *scenario.Scenario, lab.Options) (*report.Result, error)
	err     error // of shell and doctor
	misses  []string
	started []string
	swept   int
	options lab.Options
}

func (f *fakeLab) Run(ctx context.Context, sc *scenario.Scenario, o lab.Options) (*report.Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started = append(f.started, sc.Name)
	f.options = o
	return f.run(ctx, sc, o)
}

func (f *fakeLab) Shell(_ context.Context, sc *scenario.Scenario, o lab.Options) error {
	f.started = append(f.started, sc.Name)
	f.options = o
	return f.err
}

func (f *fakeLab) Sweep(io.Writer) error { f.swept++; return nil }

func (f *fakeLab) Doctor(w io.Writer) error {
	fmt.Fprintln(w, "all is well")
	return f.err
}

func (f *fakeLab) Calibrate(_ context.Context, progress func(string)) (emu.Report, error) {
	progress("the rate")
	return emu.Report{Misses: f.misses}, f.err
}

// verdicts makes results with the verdict that each scenario's name says.
func verdicts(_ context.Context, sc *scenario.Scenario, o lab.Options) (*report.Result, error) {
	if o.Progress != nil {
		o.Progress(lab.Progress{Scenario: sc.Name, Phase: "running", Elapsed: time.Second, Total: 10 * time.Second})
	}
	switch sc.Name {
	case "machine":
		return nil, fmt.Errorf("%w: not root", lab.ErrMachine)
	case "broken":
		return nil, errors.New("the emulator died")
	}
	return &report.Result{Scenario: sc.Name, Backend: "netns", Seed: sc.Seed, Verdict: report.Verdict(sc.Name), Seconds: 1}, nil
}

const text = "links: [{name: a, both: {rate: 1mbit}}]\ntraffic: [{name: dl, kind: tcp, duration: 5s}]\nexpect: [dl.stall <= 1]\n"

// folder has a scenario of each verdict, and wrong ones.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"pass.yaml":         "name: pass\nabout: It passes.\n" + text,
		"fail.yaml":         "name: fail\n" + text,
		"inconclusive.yaml": "name: inconclusive\n" + text,
		"machine.yaml":      "name: machine\n" + text,
		"broken.yaml":       "name: broken\n" + text,
		"again.yml":         "name: pass\n" + text,
		"wrong.yaml":        "name: wrong\nlnks: []\n" + text,
		"config.yaml":       "name: config\nclient: {shceduler: wrr}\n" + text,
		"virtual.yaml":      "name: virtual\nbackend: virtual\n" + text,
		"rtp.yaml":          "name: rtp\nduration: 5s\nlinks: [{name: a}]\ntraffic: [{name: call, kind: rtp}]\n",
		"empty/README":      "",
		"one/one.yaml":      "name: one\n" + text,
		"program/multilink": "#!/bin/sh\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// output is what a command writes, from any goroutine.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

// command runs a command line in a folder of scenarios.
func command(t *testing.T, fake *fakeLab, line string) (code int, out, errOut string) {
	t.Helper()
	if fake.run == nil {
		fake.run = verdicts
	}
	var o, e output
	a := &app{out: &o, err: &e, lab: fake, virtual: fake}
	code = a.main(t.Context(), strings.Fields(line))
	return code, o.String(), e.String()
}

// ending is how a command line ends.
type ending struct {
	line    string
	code    int
	started int    // scenarios
	says    string // in either output
}

func TestRunEnds(t *testing.T) {
	checkEndings(t, []ending{
		{"run pass.yaml", 0, 1, "pass: PASS"},
		{"run fail.yaml", 1, 1, "fail: FAIL"},
		{"run machine.yaml", 3, 1, "not root"},
		{"run inconclusive.yaml", 4, 1, "INCONCLUSIVE"},
		{"run broken.yaml", 1, 1, "the emulator died"},
		{"run pass.yaml inconclusive.yaml", 4, 2, "inconclusive  inconclusive"},
		{"run inconclusive.yaml machine.yaml pass.yaml", 3, 3, ""},
		{"run machine.yaml fail.yaml inconclusive.yaml", 1, 3, ""},
		{"run --seed 5 --impair user --keep --pcap caps pass.yaml", 0, 1, "seed 5"},
		{"run --backend virtual pass.yaml", 0, 1, "pass: PASS"},
		{"run virtual.yaml", 0, 1, "virtual: "},
		{"run rtp.yaml", 0, 1, "rtp: "},
	})
}

func TestRunRefuses(t *testing.T) {
	checkEndings(t, []ending{
		{"run", 2, 0, "an argument is missing"},
		{"run nothing.yaml", 2, 0, "no such file"},
		{"run empty", 2, 0, "no scenario"},
		{"run wrong.yaml pass.yaml", 2, 0, `wrong.yaml:2:1: unknown key "lnks" in a scenario: did you mean "links"?`},
		{"run config.yaml", 2, 0, `did you mean "scheduler"?`},
		{"run pass.yaml again.yml", 2, 0, `again.yml: the name "pass" is that of pass.yaml already`},
		{"run --set links.0.both.rate=-1 pass.yaml", 2, 0, "--set links.0.both.rate=-1: rate = -1: cannot be negative"},
		{"run --impair magic pass.yaml", 2, 0, `--impair = "magic": must be one of auto, netem, user`},
		{"run --backend moon pass.yaml", 2, 0, `--backend = "moon"`},
		{"run --seed -1 pass.yaml", 2, 0, `--seed = "-1": must be a whole number`},
		{"run --json none/out.json pass.yaml", 2, 0, "there is no folder none"},
		{"run --pcap pass.yaml pass.yaml", 2, 0, "--pcap"},
		{"run --binary none pass.yaml", 2, 0, "--binary"},
		{"run --binary empty pass.yaml", 2, 0, "--binary: empty is not a program"},
		{"run --colour pass.yaml", 2, 0, "unknown flag"},
		{"run --backend netns virtual.yaml", 2, 0, "virtual.yaml: is not for the backend netns, only for virtual"},
		{"run --report pass.yaml pass.yaml", 2, 0, "--report"},
		{"run --json empty pass.yaml", 2, 0, `--json = "empty": is a folder`},
		{"run --backend virtual --keep pass.yaml", 2, 0, "--keep: only for runs in namespaces"},
		{"run --pcap caps virtual.yaml", 2, 0, "--pcap: only for runs in namespaces"},
	})
}

func TestOthersEnd(t *testing.T) {
	checkEndings(t, []ending{
		{"check pass.yaml rtp.yaml", 0, 0, "rtp.yaml: rtp, links: 1, traffic: 1, actions: 0, expectations: 0"},
		{"check one", 0, 0, "one/one.yaml: one"},
		{"check wrong.yaml", 2, 0, "wrong.yaml:2:1"},
		{"check --set expect.0=client.counters.drop_replay==0 pass.yaml", 0, 0, "pass.yaml: pass"},
		{"check --set expect.0=client.counters.drop_reply==0 pass.yaml", 2, 0, `did you mean "drop_replay"?`},
		{"check", 2, 0, "an argument is missing"},
		{"list pass.yaml", 0, 0, "pass  netns,virtual  It passes."},
		{"list", 2, 0, "there is no folder scenarios here"},
		{"list none", 2, 0, "none: no such file or folder"},
		{"bench --binary program/multilink --wireguard none --json none/x", 2, 0, "there is no folder none"},
		{"bench --binary program/multilink --wireguard none --profile empty", 2, 0, "is a folder"},
		{"bench --binary program/multilink --wireguard none --set schedular=wrr", 2, 0, `--set: unknown key "schedular": did you mean "scheduler"?`},
		{"bench --binary program/multilink --wireguard none/such", 2, 0, `--wireguard = "none/such": no such program`},
		{"shell pass.yaml", 0, 1, ""},
		{"shell pass.yaml fail.yaml", 2, 0, "is one too many"},
		{"shell wrong.yaml", 2, 0, "unknown key"},
		{"doctor", 0, 0, "all is well"},
		{"schema", 0, 0, "$schema"},
		{"version", 0, 0, "multilink-sim "},
		{"completion bash", 0, 0, "bash completion"},
		{"", 0, 0, "Usage:"},
		{"fly", 2, 0, "unknown command"},
	})
}

// checkEndings runs each command line in a folder of scenarios.
func checkEndings(t *testing.T, list []ending) {
	t.Helper()
	t.Chdir(folder(t))
	for _, c := range list {
		t.Run(c.line, func(t *testing.T) {
			fake := &fakeLab{}
			line := c.line
			if strings.HasPrefix(line, "run") && !strings.Contains(line, "--binary") {
				line += " --binary program/multilink"
			}
			code, out, errOut := command(t, fake, line)
			if code != c.code || len(fake.started) != c.started || !strings.Contains(out+errOut, c.says) {
				t.Errorf("status %d, started %v; want %d, %d and %q\n%s%s", code, fake.started, c.code, c.started, c.says, out, errOut)
			}
			inNamespaces := c.started > 0 && !strings.Contains(line, "virtual")
			if (fake.swept > 0) != inNamespaces {
				t.Errorf("swept %d times", fake.swept)
			}
		})
	}
}

func TestOptionsReachTheLab(t *testing.T) {
	t.Chdir(folder(t))
	fake := &fakeLab{}
	if code, _, errOut := command(t, fake, "run --seed 5 --impair user --keep --pcap caps --binary program/multilink pass.yaml"); code != 0 {
		t.Fatal(errOut)
	}
	o := fake.options
	if o.Seed == nil || *o.Seed != 5 || o.Impair != "user" || !o.Keep || o.PcapDir != "caps" || !filepath.IsAbs(o.Binary) {
		t.Errorf("got %+v", o)
	}
	if info, err := os.Stat("caps"); err != nil || !info.IsDir() {
		t.Error("the folder for captures was not made")
	}
}

func TestReports(t *testing.T) {
	t.Chdir(folder(t))
	code, _, errOut := command(t, &fakeLab{}, "run --json r.json --junit r.xml pass.yaml machine.yaml fail.yaml")
	if code != 1 {
		t.Fatalf("status %d: %s", code, errOut)
	}
	var results []report.Result
	data, err := os.ReadFile("r.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != 3 || results[1].Verdict != report.Inconclusive || !strings.Contains(results[1].Reason, "not root") {
		t.Errorf("got %+v", results)
	}
	if data, err := os.ReadFile("r.xml"); err != nil || !strings.Contains(string(data), "<testsuites") {
		t.Errorf("%v %s", err, data)
	}
	_, out, _ := command(t, &fakeLab{}, "run --json - pass.yaml")
	var one report.Result
	if err := json.Unmarshal([]byte(out), &one); err != nil || one.Scenario != "pass" {
		t.Errorf("%v in %s", err, out)
	}
}

// TestInterrupt: a signal cancels the run, which ends as inconclusive, and
// nothing more is started.
func TestInterrupt(t *testing.T) {
	t.Chdir(folder(t))
	fake := &fakeLab{run: func(ctx context.Context, _ *scenario.Scenario, _ lab.Options) (*report.Result, error) {
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			return nil, err
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	code, out, errOut := command(t, fake, "run --binary program/multilink pass.yaml fail.yaml")
	if code != exitInconclusive || len(fake.started) != 1 || !strings.Contains(out, "interrupted") {
		t.Errorf("status %d, started %v\n%s%s", code, fake.started, out, errOut)
	}
}

func TestShellErrors(t *testing.T) {
	t.Chdir(folder(t))
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, exitHeld},
		{fmt.Errorf("%w: not root", lab.ErrMachine), exitMachine},
		{errors.New("the client died"), exitFailed},
	} {
		if code, _, _ := command(t, &fakeLab{err: c.err}, "shell pass.yaml"); code != c.code {
			t.Errorf("%v: status %d, want %d", c.err, code, c.code)
		}
	}
}

func TestCalibrate(t *testing.T) {
	for _, c := range []struct {
		fake *fakeLab
		code int
	}{
		{&fakeLab{}, exitHeld},
		{&fakeLab{misses: []string{"late"}}, exitInconclusive},
	} {
		if code, out, errOut := command(t, c.fake, "doctor --calibrate"); code != c.code || !strings.Contains(errOut, "measuring the rate") {
			t.Errorf("status %d, want %d\n%s%s", code, c.code, out, errOut)
		}
	}
}

func TestPlainProgress(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, 2, 0)
	for _, now := range []lab.Progress{
		{Scenario: "x", Phase: "building"},
		{Scenario: "x", Phase: "building"},
		{Scenario: "x", Phase: "running", Total: 20 * time.Second},
		{Scenario: "x", Phase: "running", Total: 20 * time.Second, Elapsed: 5 * time.Second},
		{Scenario: "x", Phase: "running", Total: 20 * time.Second, Elapsed: 6 * time.Second, Line: "unplug wlan0"},
		{Scenario: "x", Phase: "running", Total: 20 * time.Second, Elapsed: 16 * time.Second},
	} {
		p.show(now)
	}
	p.finish()
	want := `[1/2] x: building
[1/2] x:   0.0 s of 20: running
[1/2] x:   6.0 s of 20: unplug wlan0
[1/2] x:  16.0 s of 20: ...
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
