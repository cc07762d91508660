// Command backends runs scenarios on both backends with the same seeds and
// prints, as a table in Markdown, how far virtual time is from Linux:
//
//	go run ./scripts/backends [-seeds N] [-sim bin/multilink-sim] [FILE...]
//
// It needs root, and a machine with nothing else to do.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// chosen are the scenarios that are compared by default: links that differ in
// rate, delay and loss, both directions, failing links, small flows.
var chosen = []string{
	"equal", "two-equal-links-up", "three-links", "fiber-cable", "fiber-lte", "rtt-120",
	"lossy-one", "jitter-20", "silent-link-down", "link-returns", "nat-rebinding", "call-link-lossy",
}

// figure is a measurement that is compared, where a scenario has it.
type figure struct {
	path  string
	name  string
	scale float64 // from base units to those shown
}

var figures = []figure{
	{"dl.goodput", "download, Mbit/s", 1e-6},
	{"ul.goodput", "upload, Mbit/s", 1e-6},
	{"file.goodput", "file, Mbit/s", 1e-6},
	{"dl.stall", "longest stall, ms", 1e3},
	{"ul.stall", "longest stall, ms", 1e3},
	{"file.stall", "longest stall, ms", 1e3},
	{"echo.rtt.p50", "ping median, ms", 1e3},
	{"echo.rtt.p95", "ping 95 %, ms", 1e3},
	{"call.down.loss", "call loss, %", 1e2},
	{"call.down.delay.p95", "call delay 95 %, ms", 1e3},
	{"call.down.mos", "call MOS", 1},
}

func main() {
	sim := flag.String("sim", "bin/multilink-sim", "the testbed's program")
	seeds := flag.Int("seeds", 3, "runs of each scenario on each backend")
	flag.Parse()
	files := flag.Args()
	if len(files) == 0 {
		for _, name := range chosen {
			files = append(files, filepath.Join("scenarios", name+".yaml"))
		}
	}
	if *seeds < 1 {
		fail(fmt.Errorf("-seeds %d: must be 1 or more", *seeds))
	}
	fmt.Println("| scenario | figure | virtual | Linux | virtual / Linux |\n|---|---|---:|---:|---:|")
	for _, file := range files {
		if err := compare(*sim, file, *seeds); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "backends:", err)
	os.Exit(1)
}

// compare runs a scenario and prints its rows: medians over the seeds.
func compare(sim, file string, seeds int) error {
	found := map[string]map[string][]float64{scenario.VirtualTime: {}, scenario.Namespaces: {}}
	for seed := 1; seed <= seeds; seed++ {
		for backend, values := range found {
			r, err := run(sim, backend, file, seed)
			if err != nil {
				return fmt.Errorf("%s, %s, seed %d: %w", file, backend, seed, err)
			}
			if r.Verdict == report.Inconclusive {
				fmt.Fprintf(os.Stderr, "%s, %s, seed %d is left out: %s\n", file, backend, seed, r.Reason)
				continue
			}
			for _, f := range figures {
				if v, ok := lookUp(r.Measurements, f.path); ok {
					values[f.path] = append(values[f.path], v*f.scale)
				}
			}
		}
	}
	name := strings.TrimSuffix(filepath.Base(file), ".yaml")
	for _, f := range figures {
		there, here := found[scenario.Namespaces][f.path], found[scenario.VirtualTime][f.path]
		if len(there) == 0 || len(here) == 0 {
			continue
		}
		v, l := report.Median(here), report.Median(there)
		ratio := "-"
		if l != 0 {
			ratio = fmt.Sprintf("%.2f", v/l)
		}
		fmt.Printf("| %s | %s | %.4g | %.4g | %s |\n", name, f.name, v, l, ratio)
	}
	return nil
}

// run makes one run. That an expectation does not hold is a result; links alone
// are not measured.
func run(sim, backend, file string, seed int) (*report.Result, error) {
	dir, err := os.MkdirTemp("", "backends-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "result.json")
	cmd := exec.Command(sim, "run", "--backend", backend, "--seed", fmt.Sprint(seed),
		"--set", "baseline=", "--set", "expect=[]", "--json", out, file)
	said, ran := cmd.CombinedOutput()
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, fmt.Errorf("%v: %s", ran, said)
	}
	var r report.Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	if r.Verdict == report.Fail {
		return nil, fmt.Errorf("%s", r.Reason)
	}
	return &r, nil
}

func lookUp(measurements map[string]any, path string) (float64, bool) {
	var at any = measurements
	for part := range strings.SplitSeq(path, ".") {
		group, ok := at.(map[string]any)
		if !ok {
			return 0, false
		}
		at = group[part]
	}
	v, ok := at.(float64)
	return v, ok && !math.IsNaN(v)
}
