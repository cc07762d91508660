package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/sim/bench"
)

// benchFlags are those of bench.
type benchFlags struct {
	options bench.Options
	set     []string
	json    string
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the tunnel's speed against wireguard-go",
		Long: "Set up the real client and server and wireguard-go between two network namespaces\n" +
			"that a cable without limits connects, load them in turn, and print the ratios.\n" +
			"docs/performance.md explains what is measured. It needs root and a quiet machine:\n" +
			"'make bench' builds wireguard-go and runs this.\n\n" +
			"Exercises: " + strings.Join(bench.Names(), ", ") + ".",
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.bench(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.options.Binary, "binary", "", "the multilink program to measure (default: beside this one, else in $PATH)")
	flags.StringVar(&f.options.Wireguard, "wireguard", "", "the wireguard-go program to compare with (default: in $PATH; 'none': no comparison)")
	flags.IntVar(&f.options.Pairs, "pairs", 5, "how often each exercise is done with each tunnel")
	flags.DurationVar(&f.options.Time, "time", 2*time.Second, "how long each measurement takes")
	flags.StringSliceVar(&f.options.Only, "only", nil, "exercises to do (default: all)")
	flags.StringArrayVar(&f.set, "set", nil, "a key of the client's configuration, as KEY=VALUE (repeatable)")
	flags.BoolVar(&f.options.Features, "features", false, "also measure the tunnel without scheduling, acknowledgements, resequencing and retention, each switched off alone")
	flags.StringVar(&f.options.Profile, "profile", "", "write a profile of the processor time of both ends of multilink to this file, for 'go tool pprof'")
	flags.StringVar(&f.json, "json", "", "write the figures to this file")
	return cmd
}

func (a *app) bench(cmd *cobra.Command, f benchFlags) error {
	o := f.options
	var err error
	if o.Binary, err = findBinary(o.Binary); err != nil {
		return err
	}
	switch o.Wireguard {
	case "":
		if o.Wireguard, err = exec.LookPath("wireguard-go"); err != nil {
			return usageError("wireguard-go is not in $PATH: 'make bench' builds it; --wireguard none leaves it out")
		}
	case "none":
		o.Wireguard = ""
	default:
		if _, err := exec.LookPath(o.Wireguard); err != nil {
			return usageError("--wireguard = %q: no such program", o.Wireguard)
		}
	}
	for flag, path := range map[string]string{"--json": f.json, "--profile": o.Profile} {
		if err := writable(flag, path); err != nil {
			return err
		}
	}
	if o.Client, err = clientKeys(f.set); err != nil {
		return err
	}
	if err := config.CheckClientKeys(o.Client); err != nil {
		return usageError("--set: %w", err)
	}
	if os.Getuid() != 0 {
		return &exitError{exitMachine, errors.New("bench makes network namespaces and needs root")}
	}
	ctx, stop := a.interruptible(cmd.Context())
	defer stop()
	o.OverSocket = engine.OverStatusSocket
	o.Progress = func(line string) { fmt.Fprintln(a.err, line) }
	result, err := bench.Run(ctx, o)
	switch {
	case ctx.Err() != nil:
		return &exitError{exitInconclusive, errInterrupted}
	case errors.Is(err, bench.ErrUsage):
		return &exitError{exitUsage, err}
	case err != nil:
		return &exitError{exitFailed, err}
	}
	result.Print(a.out)
	if f.json != "" {
		if err := result.WriteFile(f.json); err != nil {
			return &exitError{exitFailed, err}
		}
	}
	if len(result.Noise) > 0 {
		return &exitError{code: exitInconclusive}
	}
	return nil
}

// clientKeys reads KEY=VALUE settings of a configuration. true and false are
// booleans, anything else is text.
func clientKeys(set []string) (map[string]any, error) {
	keys := map[string]any{}
	for _, s := range set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, usageError("--set %q: want KEY=VALUE", s)
		}
		switch value {
		case "true", "false":
			keys[key] = value == "true"
		default:
			keys[key] = value
		}
	}
	return keys, nil
}
