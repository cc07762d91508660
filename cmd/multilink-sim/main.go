// Command multilink-sim is the testbed of Multilink: it runs scenarios, which
// describe links, traffic and what must hold, with the real client and server
// in network namespaces.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/sim/virtual"
)

// The exit statuses, as documented in docs/scenarios.md.
const (
	exitHeld         = 0
	exitFailed       = 1
	exitUsage        = 2 // nothing was started
	exitMachine      = 3
	exitInconclusive = 4
)

// exitError ends the command with a status. Any other error that cobra
// returns is one of usage.
type exitError struct {
	code int
	err  error // nil: all is said already
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError says that nothing was started, and why.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// app is what the commands share.
type app struct {
	out, err io.Writer
	lab      laboratory
	virtual  runner // virtual time
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == virtual.Subcommand {
		os.Exit(virtual.Main(os.Stdin, os.Stdout))
	}
	a := &app{out: os.Stdout, err: os.Stderr, lab: namespaces{}, virtual: simulator{}}
	os.Exit(a.main(context.Background(), os.Args[1:]))
}

// main runs one command line and returns the exit status.
func (a *app) main(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return exitHeld
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintf(a.err, "multilink-sim: %v\n", exit.err)
		}
		return exit.code
	default:
		fmt.Fprintf(a.err, "multilink-sim: %v\nTry '%s --help'.\n", err, cmd.CommandPath())
		return exitUsage
	}
}

// knownCommand is the Args of the root: a word that is no command may have been
// meant to be one.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return cli.UnknownCommand(cmd, args[0])
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "multilink-sim",
		Short: "Run Multilink's real client and server over emulated links",
		Long: "multilink-sim runs scenarios: files that describe links, traffic, what happens\n" +
			"and what must hold. docs/scenarios.md explains them.\n\n" +
			"Exit status of run: 0 every expectation held, 1 one failed, 2 the scenario or the\n" +
			"usage is wrong (nothing was started), 3 this machine lacks something, 4 inconclusive.",
		SilenceErrors: true,
		SilenceUsage:  true,
		// Without a command the help is shown; with an unknown one it is an
		// error.
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(cli.FlagError)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.AddCommand(
		a.listCommand(), a.checkCommand(), a.schemaCommand(), a.runCommand(), a.compareCommand(), a.mergeCommand(),
		a.demoCommand(), a.benchCommand(), a.shellCommand(), a.doctorCommand(), a.versionCommand(),
	)
	return root
}
