package main

import (
	"context"
	"errors"
	"io"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// laboratory is package lab as the commands use it; tests have their own.
type laboratory interface {
	Run(context.Context, *scenario.Scenario, lab.Options) (*report.Result, error)
	Shell(context.Context, *scenario.Scenario, lab.Options) error
	Sweep(log io.Writer) error
	Doctor(io.Writer) error
	Calibrate(context.Context, func(string)) (emu.Report, error)
}

// namespaces is the laboratory of this machine.
type namespaces struct{}

func (namespaces) Run(ctx context.Context, sc *scenario.Scenario, o lab.Options) (*report.Result, error) {
	return lab.Run(ctx, sc, o)
}

func (namespaces) Shell(ctx context.Context, sc *scenario.Scenario, o lab.Options) error {
	return lab.Shell(ctx, sc, o)
}

func (namespaces) Sweep(log io.Writer) error { return lab.Sweep(log) }

func (namespaces) Doctor(w io.Writer) error { return lab.Doctor(w) }

func (namespaces) Calibrate(ctx context.Context, progress func(string)) (emu.Report, error) {
	return emu.Calibrate(ctx, emu.CalibrateOptions{Progress: progress})
}

// labError gives an error of the lab its status.
func labError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lab.ErrMachine):
		return &exitError{exitMachine, err}
	default:
		return &exitError{exitFailed, err}
	}
}
