package virtual

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Subcommand is the hidden subcommand under which a program that uses Exec
// must call Main:
//
//	if len(os.Args) == 2 && os.Args[1] == virtual.Subcommand {
//		os.Exit(virtual.Main(os.Stdin, os.Stdout))
//	}
const Subcommand = "internal-virtual"

// childVariable is set in the environment of the process that simulates, so
// that a program which does not know Subcommand, and comes back to Exec
// instead, does not go on starting itself for ever.
const childVariable = "MULTILINK_INTERNAL_VIRTUAL"

// ErrNotWired says that this program calls Exec but not Main.
var ErrNotWired = errors.New("this program does not call virtual.Main for its subcommand " + Subcommand)

// request is what the process that simulates reads from its standard input.
type request struct {
	Scenario *scenario.Scenario
	Progress bool // is wanted
}

// answer is one of the JSON values it writes to its standard output: any
// number with progress, then one with a result or an error.
type answer struct {
	Progress    *Progress      `json:"progress,omitempty"`
	Result      *report.Result `json:"result,omitempty"`
	Error       string         `json:"error,omitempty"`
	Unsupported bool           `json:"unsupported,omitempty"` // the error is an ErrUnsupported
}

// Exec runs a scenario as Run does, in a process of its own: this program
// again, with Subcommand. Of o, Observe is not used.
func Exec(ctx context.Context, sc *scenario.Scenario, o Options) (*report.Result, error) {
	if err := Check(sc); err != nil {
		return nil, err
	}
	if os.Getenv(childVariable) != "" {
		return nil, ErrNotWired
	}
	asked := *sc
	if o.Seed != nil {
		asked.Seed = *o.Seed
	}
	stdin, err := json.Marshal(request{Scenario: &asked, Progress: o.Progress != nil})
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", sc.Name, err)
	}
	cmd := exec.CommandContext(ctx, os.Args[0], Subcommand)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1", childVariable+"=1")
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("the simulating process: %w", err)
	}
	result, err := readAnswers(stdout, o.Progress)
	ended := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && ended != nil:
		return nil, fmt.Errorf("the simulating process: %w: %s", ended, beginning(stderr.Bytes()))
	}
	return result, err
}

// readAnswers reads to the result or the error.
func readAnswers(from io.Reader, progress func(Progress)) (*report.Result, error) {
	decoder := json.NewDecoder(bufio.NewReader(from))
	for {
		var a answer
		switch err := decoder.Decode(&a); {
		case err != nil:
			return nil, fmt.Errorf("no result: %w", err)
		case a.Unsupported:
			return nil, unsupported(a.Error)
		case a.Error != "":
			return nil, errors.New(a.Error)
		case a.Result != nil:
			return a.Result, nil
		case a.Progress != nil:
			progress(*a.Progress)
		}
	}
}

// unsupported is an ErrUnsupported with the text it had in the other process.
type unsupported string

func (u unsupported) Error() string { return string(u) }
func (unsupported) Unwrap() error   { return ErrUnsupported }

// beginning is the part of what a process said before it died in which a panic
// says what it is.
func beginning(b []byte) []byte {
	const enough = 2000
	return b[:min(len(b), enough)]
}

// Main is the process that Exec starts: it reads a scenario from stdin and
// writes progress and the result to stdout. It returns the exit status, 0
// whenever it could write an answer.
//
// The interrupts that a terminal sends to all processes at once are left to
// the one that called Exec: it ends this one.
func Main(stdin io.Reader, stdout io.Writer) int {
	signal.Ignore(os.Interrupt, syscall.SIGHUP)
	runtime.GOMAXPROCS(1)
	out := json.NewEncoder(stdout)
	var r request
	if err := json.NewDecoder(stdin).Decode(&r); err != nil || r.Scenario == nil {
		return exitStatus(out.Encode(answer{Error: fmt.Sprintf("%s reads a scenario as JSON: %v", Subcommand, err)}))
	}
	var o Options
	if r.Progress {
		// A reader that is gone is noticed when the result is written.
		o.Progress = func(p Progress) { _ = out.Encode(answer{Progress: &p}) }
	}
	result, err := Run(context.Background(), r.Scenario, o)
	if err != nil {
		return exitStatus(out.Encode(answer{Error: err.Error(), Unsupported: errors.Is(err, ErrUnsupported)}))
	}
	return exitStatus(out.Encode(answer{Result: result}))
}

func exitStatus(err error) int {
	if err != nil {
		return 1
	}
	return 0
}
