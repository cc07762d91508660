package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/multilink-vpn/multilink/sim/compare"
)

// compareProgress shows how a comparison gets on: a bar on a terminal, a line
// for each run elsewhere. Faults have a line in any case.
type compareProgress struct {
	out io.Writer
	bar *progressbar.ProgressBar // nil where there is no terminal
}

// newCompareProgress is for so many runs.
func newCompareProgress(out io.Writer, total int) *compareProgress {
	p := &compareProgress{out: out}
	if f, ok := out.(*os.File); ok && total > 0 && term.IsTerminal(int(f.Fd())) {
		p.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(out),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetDescription("the first runs"))
		_ = p.bar.RenderBlank()
	}
	return p
}

// show is called for one run at a time.
func (p *compareProgress) show(now compare.Progress) {
	r := now.Record
	name := r.Scenario
	if r.Point != "" {
		name += " " + r.Point
	}
	what := string(r.Verdict)
	switch {
	case r.Error != "":
		what = "failed: " + r.Error
	case r.Reason != "":
		what += ": " + r.Reason
	}
	line := fmt.Sprintf("%s, %s, seed %d: %s", name, r.Label(), r.Seed, what)
	if p.bar == nil {
		fmt.Fprintf(p.out, "[%d/%d] %s (%.1f s, %s left)\n", now.Done, now.Total, line, r.Seconds, now.Left.Round(time.Second))
		return
	}
	if !r.Usable() {
		_ = p.bar.Clear()
		fmt.Fprintln(p.out, line)
	}
	p.bar.Describe(fmt.Sprintf("%s, %s; %s left", name, r.Label(), now.Left.Round(time.Second)))
	_ = p.bar.Set(now.Done)
}

// finish removes the bar.
func (p *compareProgress) finish() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
