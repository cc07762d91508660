package main

import (
	"context"
	"errors"
	"io"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/virtual"
)

// runner runs a scenario.
type runner interface {
	Run(context.Context, *scenario.Scenario, lab.Options) (*report.Result, error)
}

// laboratory is package lab as the commands use it; tests have their own.
type laboratory interface {
	runner
	Shell(context.Context, *scenario.Scenario, lab.Options) error
	Sweep(log io.Writer) error
	Doctor(io.Writer) error
	Calibrate(context.Context, func(string)) (emu.Report, error)
}

// simulator runs scenarios in virtual time, each in a process of its own.
type simulator struct{}

func (simulator) Run(ctx context.Context, sc *scenario.Scenario, o lab.Options) (*report.Result, error) {
	v := virtual.Options{Seed: o.Seed}
	if o.Progress != nil {
		v.Progress = func(p virtual.Progress) {
			o.Progress(lab.Progress{Scenario: sc.Name, Phase: p.Phase, Elapsed: p.Elapsed, Total: p.Total})
		}
	}
	return virtual.Exec(ctx, sc, v)
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
	case errors.Is(err, virtual.ErrUnsupported):
		return &exitError{exitUsage, err}
	case errors.Is(err, lab.ErrMachine):
		return &exitError{exitMachine, err}
	default:
		return &exitError{exitFailed, err}
	}
}
