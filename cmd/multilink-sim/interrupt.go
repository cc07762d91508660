package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
)

// errInterrupted is why there is no result after an interrupt.
var errInterrupted = errors.New("interrupted")

// interruptible returns a context that ends with the first interrupt, so that
// the lab removes what it made. The second ends the program at once; the next
// run removes what that leaves.
func (a *app) interruptible(parent context.Context) (context.Context, func()) {
	return a.onSignals(parent, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}

func (a *app) onSignals(parent context.Context, signals ...os.Signal) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	came := make(chan os.Signal, 2)
	signal.Notify(came, signals...)
	go func() {
		select {
		case _, more := <-came:
			if !more {
				return
			}
		case <-ctx.Done():
			return
		}
		fmt.Fprintln(a.err, "multilink-sim: interrupted: removing what was made (once more to stop at once)")
		cancel()
		if cli.Insisted(came) {
			os.Exit(exitInconclusive)
		}
	}()
	return ctx, func() {
		signal.Stop(came)
		cancel()
		close(came)
	}
}
