package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
)

func (a *app) doctorCommand() *cobra.Command {
	var calibrate bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this kernel and user can do, what is missing and how to get it",
		Long: "Say what this kernel and user can do, what is missing and how to get it.\n\n" +
			"With --calibrate the accuracy of the emulator on this machine is measured as well, which\n" +
			"takes about half a minute; the exit status is 4 where it misses its targets.",
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := labError(a.lab.Doctor(a.out)); err != nil {
				return err
			}
			if calibrate {
				return a.calibrate(cmd.Context())
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&calibrate, "calibrate", false, "measure the accuracy of the emulator on this machine")
	return cmd
}

func (a *app) calibrate(ctx context.Context) error {
	ctx, stop := a.interruptible(ctx)
	defer stop()
	found, err := a.lab.Calibrate(ctx, func(what string) { fmt.Fprintf(a.err, "measuring %s\n", what) })
	switch {
	case ctx.Err() != nil:
		return &exitError{code: exitInconclusive}
	case err != nil:
		return &exitError{exitMachine, err}
	}
	fmt.Fprintln(a.out, found)
	if len(found.Misses) > 0 {
		return &exitError{code: exitInconclusive}
	}
	return nil
}
