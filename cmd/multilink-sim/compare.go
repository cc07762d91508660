package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/sim/compare"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// compareFlags are the flags of compare.
type compareFlags struct {
	runFlags
	schedulers []string
	baselines  []string
	runs       int
	out        string
	points     string
	shard      string
}

// defaultRuns is how many seeds a median is of.
const defaultRuns = 5

func (a *app) compareCommand() *cobra.Command {
	var f compareFlags
	cmd := &cobra.Command{
		Use:   "compare --schedulers A,B,... FILE...",
		Short: "Compare schedulers over scenarios and seeds",
		Long: "Run each scenario with each scheduler and several seeds, and each link alone beside it, and\n" +
			"write results.csv, summary.json and report.html. In virtual time all processors are used;\n" +
			"in namespaces one run follows the other.\n\n" +
			"Each finished run is kept in --out at once: the same command again goes on where an\n" +
			"interrupted one ended, and runs again what failed. docs/comparing.md explains the results,\n" +
			"docs/at-scale.md how to split a comparison over machines with --shard.\n\n" +
			"Exit status: 0 every run was done, 1 some failed, 2 the scenario or the usage is wrong\n" +
			"(nothing was started), 3 this machine lacks something, 4 interrupted.",
		Args:              cli.Args(1, -1),
		ValidArgsFunction: scenarioFiles,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.compare(cmd.Context(), args, f) },
	}
	addShared(cmd, &f.runFlags)
	flags := cmd.Flags()
	flags.StringSliceVar(&f.schedulers, "schedulers", nil, "the schedulers to compare, separated by commas")
	flags.StringSliceVar(&f.baselines, "baselines", nil, "what to measure beside them: alone, bare, mptcp (default: all the backend has; with --points alone)")
	flags.IntVar(&f.runs, "runs", defaultRuns, "seeds of each scenario, from its own seed on")
	flags.StringVar(&f.out, "out", "comparison", "the folder for the results; what it holds of the same comparison is gone on with")
	flags.StringVar(&f.points, "points", "", "a table of settings (CSV): each scenario once for each row, with each column set as --set would")
	flags.StringVar(&f.shard, "shard", "", "run only part i of n, written i/n; multilink-sim merge puts the parts together")
	completeWords(cmd, "baselines", scenario.BaselineAlone, scenario.BaselineBare, string(compare.MPTCP))
	if err := cmd.MarkFlagRequired("schedulers"); err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

func (a *app) mergeCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "merge --out DIR DIR...",
		Short: "Put the shards of a comparison together",
		Long: "Put the folders that compare --shard made together into one, and write the results of the\n" +
			"whole. Where shards are missing, it says how many runs; the command of the comparison\n" +
			"without --shard, with the same --out, runs them.\n\n" +
			"Exit status: 0 the comparison is whole, 1 some runs failed, 2 the folders do not belong\n" +
			"together, 4 some runs are missing.",
		Args: cli.Args(1, -1),
		RunE: func(_ *cobra.Command, dirs []string) error {
			plan, store, err := compare.Merge(out, dirs)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			defer store.Close()
			return a.conclude(out, plan, store.Records(), nil)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the folder for the whole")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

// compare checks all there is to check, then runs what is still to be run.
func (a *app) compare(ctx context.Context, paths []string, f compareFlags) error {
	if err := f.runFlags.check(); err != nil {
		return err
	}
	plan, err := a.plan(paths, &f)
	if err != nil {
		return err
	}
	store, err := compare.Open(f.out, plan)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	defer store.Close()
	cells := plan.Cells()
	left := store.Left(cells)
	if done := len(cells) - len(left); done > 0 {
		fmt.Fprintf(a.err, "%s: %d of %d runs are there already\n", f.out, done, len(cells))
	}
	ctx, stop := a.interruptible(ctx)
	defer stop()
	if slices.ContainsFunc(plan.Cases, func(c compare.Case) bool { return c.Backend == scenario.Namespaces }) && len(left) > 0 {
		if err := a.lab.Sweep(io.Discard); err != nil {
			fmt.Fprintf(a.err, "multilink-sim: what an earlier run left could not be removed: %v\n", err)
		}
	}
	show := newCompareProgress(a.err, len(left))
	runner := compare.Runner{
		Exec: func(ctx context.Context, sc *scenario.Scenario, backend string) (*report.Result, error) {
			return a.runner(backend).Run(ctx, sc, lab.Options{Impair: f.impair, Binary: f.binary, Log: io.Discard})
		},
		Workers: runtime.GOMAXPROCS(0),
		Fatal: func(c compare.Cell, err error) bool {
			// That a kernel has no MPTCP is no reason to stop.
			return errors.Is(err, lab.ErrMachine) && c.Kind != compare.MPTCP
		},
		Progress: show.show,
	}
	err = runner.Run(ctx, plan, store, left)
	show.finish()
	return a.conclude(f.out, plan, store.Records(), err)
}

// conclude writes and shows the results, and says how it ended.
func (a *app) conclude(dir string, plan *compare.Plan, records map[compare.Cell]compare.Record, ended error) error {
	s, err := compare.Write(dir, plan, records)
	if err != nil {
		return &exitError{exitFailed, err}
	}
	if err := s.WriteText(a.out); err != nil {
		return &exitError{exitFailed, err}
	}
	fmt.Fprintf(a.out, "\n%d of %d runs usable", s.Cells.Usable, s.Cells.Planned)
	if n := s.Cells.Inconclusive; n > 0 {
		fmt.Fprintf(a.out, ", %d inconclusive", n)
	}
	if n := s.Cells.Failed; n > 0 {
		fmt.Fprintf(a.out, ", %d failed (%s says why)", n, compare.SummaryFile)
	}
	fmt.Fprintf(a.out, "\n%s\n", filepath.Join(dir, "{"+strings.Join([]string{compare.ResultsFile, compare.SummaryFile, compare.ReportFile}, ",")+"}"))
	switch {
	case errors.Is(ended, context.Canceled):
		return &exitError{exitInconclusive, fmt.Errorf("interrupted, %d runs left: the same command goes on", s.Cells.Missing)}
	case errors.Is(ended, lab.ErrMachine):
		return &exitError{exitMachine, ended}
	case ended != nil:
		return &exitError{exitFailed, ended}
	case s.Cells.Failed > 0:
		return &exitError{code: exitFailed}
	case s.Cells.Missing > 0:
		return &exitError{exitInconclusive, fmt.Errorf("%d runs are missing", s.Cells.Missing)}
	}
	return nil
}

// programs is a digest of what the results depend on beside the plan.
func programs(backend func(string) bool, binary string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	paths := []string{self}
	if backend(scenario.Namespaces) && binary != "" {
		paths = append(paths, binary)
	}
	return compare.Digest(paths...)
}
