package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

func (a *app) shellCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "shell FILE",
		Short: "Build a scenario's topology, start client and server, open a shell on the client",
		Long: "Build a scenario's topology, start the real client and server, and open a shell ($SHELL)\n" +
			"on the client. Traffic and timeline are left out. All is removed when the shell ends.",
		Args:              cli.Args(1, 1),
		ValidArgsFunction: scenarioFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.shell(cmd, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.impair, "impair", "auto", "who impairs the links: auto, netem or user")
	addSet(cmd, &f.set)
	flags.StringVar(&f.binary, "binary", "", "the multilink program to start (default: beside this one, else in $PATH)")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print what the testbed does")
	completeWords(cmd, "impair", impairModes...)
	return cmd
}

func (a *app) shell(cmd *cobra.Command, path string, f runFlags) error {
	f.backend = scenario.Namespaces
	if err := f.check(); err != nil {
		return err
	}
	scenarios, err := a.load([]string{path}, f.set)
	if err != nil {
		return err
	}
	if len(scenarios) != 1 {
		return usageError("%s: a shell is for one scenario", path)
	}
	o := lab.Options{Impair: f.impair, Log: io.Discard}
	if f.verbose {
		o.Log = a.err
	}
	if o.Binary, err = findBinary(f.binary); err != nil {
		return err
	}
	// Ctrl-C is for what runs in the shell. It is caught rather than ignored:
	// children would inherit that.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	ctx, stop := a.onSignals(cmd.Context(), syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := a.lab.Sweep(o.Log); err != nil {
		return &exitError{exitMachine, err}
	}
	return labError(a.lab.Shell(ctx, scenarios[0], o))
}
