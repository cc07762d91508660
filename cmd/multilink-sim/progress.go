package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/multilink-vpn/multilink/sim/lab"
)

// heartbeat is how often a long phase says that it lives, where there is no
// terminal.
const heartbeat = 10 * time.Second

// progress shows how a run gets on: a bar on a terminal, plain lines
// elsewhere.
type progress struct {
	mu     sync.Mutex
	out    io.Writer
	count  string // "[2/5] " of several scenarios
	bar    *progressbar.ProgressBar
	isTerm bool
	phase  string
	spoke  time.Duration // elapsed time at the last plain line
}

// newProgress is for the run after done of total.
func newProgress(out io.Writer, total, done int) *progress {
	p := &progress{out: out}
	if total > 1 {
		p.count = fmt.Sprintf("[%d/%d] ", done+1, total)
	}
	if f, ok := out.(*os.File); ok {
		p.isTerm = term.IsTerminal(int(f.Fd()))
	}
	return p
}

// show is called by the lab, from any goroutine.
func (p *progress) show(now lab.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isTerm {
		p.showBar(now)
		return
	}
	switch {
	case now.Line != "":
		p.line(now, now.Line)
	case now.Phase != p.phase:
		p.line(now, now.Phase)
	case now.Elapsed >= p.spoke+heartbeat:
		p.line(now, "...")
	}
	p.phase = now.Phase
}

// line writes a plain line.
func (p *progress) line(now lab.Progress, text string) {
	at := ""
	if now.Total > 0 {
		at = fmt.Sprintf("%5.1f s of %.0f: ", now.Elapsed.Seconds(), now.Total.Seconds())
	}
	fmt.Fprintf(p.out, "%s%s: %s%s\n", p.count, now.Scenario, at, text)
	p.spoke = now.Elapsed
}

func (p *progress) showBar(now lab.Progress) {
	if p.bar == nil || now.Phase != p.phase {
		p.clear()
		total := now.Total.Milliseconds()
		if total <= 0 {
			total = -1 // a spinner
		}
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(p.out),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetDescription(p.count+now.Scenario+": "+now.Phase))
		p.phase = now.Phase
	}
	if now.Line != "" {
		_ = p.bar.Clear()
		fmt.Fprintf(p.out, "%s%s: %s\n", p.count, now.Scenario, now.Line)
	}
	_ = p.bar.Set64(min(now.Elapsed, max(now.Total, 0)).Milliseconds())
}

func (p *progress) clear() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

// finish removes the bar.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
