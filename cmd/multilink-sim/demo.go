package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/scenarios"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

func (a *app) demoCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a download over two links, one of which is unplugged on the way",
		Long: "Build a home with two unequal links, a server and hosts behind it in network namespaces,\n" +
			"start the real client and server, and download a file with each link alone and then with\n" +
			"both, one of which is unplugged in the middle. The file's hash is checked each time.\n" +
			"Everything is removed afterwards. It takes about a minute and needs root.",
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd, f) },
	}
	cmd.Flags().StringVar(&f.binary, "binary", "", "the multilink program to show (default: beside this one, else in $PATH)")
	addSet(cmd, &f.set)
	return cmd
}

func (a *app) demo(cmd *cobra.Command, f runFlags) error {
	sc, err := scenario.Parse("demo.yaml", scenarios.Demo, options(f.set))
	if err != nil {
		fmt.Fprintln(a.err, err)
		return &exitError{code: exitUsage}
	}
	o := lab.Options{Log: io.Discard}
	if o.Binary, err = findBinary(f.binary); err != nil {
		return err
	}
	ctx, stop := a.interruptible(cmd.Context())
	defer stop()
	if err := a.lab.Sweep(io.Discard); err != nil {
		fmt.Fprintf(a.err, "multilink-sim: what an earlier run left could not be removed: %v\n", err)
	}
	introduce(a.out, sc)
	live := newTicker(a.out)
	o.Progress = live.show
	result, err := a.lab.Run(ctx, sc, o)
	live.finish()
	result, code := settle(ctx, sc, scenario.Namespaces, result, err)
	if ctx.Err() != nil {
		err = errInterrupted
	}
	if err != nil {
		return &exitError{code, err}
	}
	conclude(a.out, sc, result)
	if code == exitInconclusive {
		// What the file's hash and size say holds all the same.
		code = exitHeld
		for _, e := range result.Expectations {
			if !e.OK {
				code = exitInconclusive
			}
		}
	}
	if code != exitHeld {
		return &exitError{code: code}
	}
	return nil
}

// introduce says what is going to be shown.
func introduce(out io.Writer, sc *scenario.Scenario) {
	fmt.Fprintf(out, "%s\n\n", sc.About)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, l := range sc.Links {
		fmt.Fprintf(w, "  %s\tdown %s, up %s\t%v each way\n", l.Name, mbits(l.Down.Rate), mbits(l.Up.Rate), l.Down.Delay)
	}
	w.Flush()
	fmt.Fprintln(out)
}

func mbits(v float64) string { return fmt.Sprintf("%.4g Mbit/s", v/1e6) }

// conclude prints the small table.
func conclude(out io.Writer, sc *scenario.Scenario, r *report.Result) {
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tlinks\ttime\tMbit/s\tlongest gap\tfile\t")
	for _, l := range sc.Links {
		row(w, l.Name+" alone", at(r.Measurements, scenario.BaselineAlone, l.Name, "file"))
	}
	row(w, "both, one unplugged", at(r.Measurements, "file"))
	w.Flush()
	if r.Verdict == report.Inconclusive {
		fmt.Fprintf(out, "\nThe machine was too busy for the times to say much: %s.\n", r.Reason)
	}
}

// row prints what one download found.
func row(w io.Writer, name string, v any) {
	file, ok := v.(map[string]any)
	if !ok {
		fmt.Fprintf(w, "\t%s\t-\t-\t-\t-\t\n", name)
		return
	}
	seconds := number(at(file, "fct", "p50"))
	if number(file["failed"]) > 0 || seconds == 0 {
		fmt.Fprintf(w, "\t%s\t-\t-\t%.2f s\tbroken off\t\n", name, number(file["stall"]))
		return
	}
	fmt.Fprintf(w, "\t%s\t%.1f s\t%.1f\t%.2f s\t%s\t\n", name,
		seconds, number(file["bytes"])*8/seconds/1e6, number(file["stall"]), "complete, hash right")
}

// at walks nested maps; nil where the way ends.
func at(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

// number is 0 of what is none.
func number(v any) float64 {
	n, _ := report.Number(v)
	return n
}

// tickerEvery is how often a line with the links' rates is shown where there
// is no terminal, on which one line is kept up to date.
const tickerEvery = 2 * time.Second

// ticker shows what the links carry while it happens.
type ticker struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	scenario string
	at       time.Duration // of the last line
	bytes    map[string]uint64
	wrote    bool // an unfinished line is on the terminal
}

func newTicker(out io.Writer) *ticker {
	t := &ticker{out: out}
	if f, ok := out.(*os.File); ok {
		t.terminal = term.IsTerminal(int(f.Fd()))
	}
	return t
}

// show is called by the lab, from any goroutine.
func (t *ticker) show(p lab.Progress) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Scenario != t.scenario {
		t.newline()
		t.scenario, t.at, t.bytes = p.Scenario, 0, map[string]uint64{}
		fmt.Fprintf(t.out, "%s\n", p.Scenario)
	}
	if p.Line != "" {
		t.newline()
		fmt.Fprintf(t.out, "  %5.1f s  %s\n", p.Elapsed.Seconds(), p.Line)
	}
	every := tickerEvery
	if t.terminal {
		every = 400 * time.Millisecond
	}
	if len(p.Links) == 0 || p.Elapsed < t.at+every {
		return
	}
	var line strings.Builder
	fmt.Fprintf(&line, "  %5.1f s", p.Elapsed.Seconds())
	for _, l := range p.Links {
		rate := float64(l.Down-t.bytes[l.Name]) * 8 / (p.Elapsed - t.at).Seconds() / 1e6
		t.bytes[l.Name] = l.Down
		fmt.Fprintf(&line, "  %s %-10s %5.1f Mbit/s", l.Name, strings.Repeat("#", min(10, int(rate/6+0.5))), rate)
	}
	t.at = p.Elapsed
	if t.terminal {
		fmt.Fprintf(t.out, "\r\x1b[K%s", line.String())
		t.wrote = true
		return
	}
	fmt.Fprintln(t.out, line.String())
}

func (t *ticker) newline() {
	if t.wrote {
		fmt.Fprintln(t.out)
		t.wrote = false
	}
}

func (t *ticker) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.newline()
}
