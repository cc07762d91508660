package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/sim/compare"
	"github.com/multilink-vpn/multilink/sim/lab"
	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/virtual"
)

// runFlags are the flags of run.
type runFlags struct {
	backend, impair string
	seed            uint64
	set             []string
	json, junit     string
	report          string
	pcap            string
	binary          string
	keep            bool
	verbose         bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run FILE...",
		Short: "Run scenarios one after another",
		Long: "Run scenarios one after another; a folder stands for all scenarios in it.\n\n" +
			"Exit status: 0 every expectation held, 1 one failed, 2 the scenario or the usage is\n" +
			"wrong (nothing was started), 3 this machine lacks something, 4 inconclusive. Of several\n" +
			"scenarios the worst counts, in the order 1, 3, 4, 0.",
		Args:              cli.Args(1, -1),
		ValidArgsFunction: scenarioFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			o := lab.Options{Impair: f.impair, PcapDir: f.pcap, Keep: f.keep, Log: io.Discard}
			if f.verbose || f.keep {
				o.Log = a.err
			}
			if cmd.Flags().Changed("seed") {
				o.Seed = &f.seed
			}
			return a.run(cmd.Context(), args, f, o)
		},
	}
	flags := cmd.Flags()
	addShared(cmd, &f)
	flags.Uint64Var(&f.seed, "seed", 0, "seed of the impairments (default: the scenario's)")
	flags.StringVar(&f.json, "json", "", "write the results as JSON to this file (- is the standard output)")
	flags.StringVar(&f.junit, "junit", "", "write the results as JUnit XML to this file")
	flags.StringVar(&f.report, "report", "", "write a report with charts (report.html) to this folder")
	flags.StringVar(&f.pcap, "pcap", "", "write captures of each link, the tunnel and the hosts to this folder")
	flags.BoolVar(&f.keep, "keep", false, "leave the namespaces up and print how to enter them")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print what the testbed does")
	return cmd
}

// addShared adds the flags that run and compare have in common.
func addShared(cmd *cobra.Command, f *runFlags) {
	flags := cmd.Flags()
	flags.StringVar(&f.backend, "backend", "", "netns, the real programs in namespaces, or virtual time (default: the scenario's, else netns)")
	flags.StringVar(&f.impair, "impair", "auto", "who impairs the links: auto, netem or user")
	addSet(cmd, &f.set)
	flags.StringVar(&f.binary, "binary", "", "the multilink program to test (default: beside this one, else in $PATH)")
	completeWords(cmd, "backend", scenario.Namespaces, scenario.VirtualTime)
	completeWords(cmd, "impair", impairModes...)
}

var impairModes = []string{"auto", "netem", "user"}

func completeWords(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist
	}
}

// run checks everything there is to check, then runs the scenarios and writes
// what was asked for.
func (a *app) run(ctx context.Context, paths []string, f runFlags, o lab.Options) error {
	if err := f.check(); err != nil {
		return err
	}
	scenarios, err := a.load(paths, f.set)
	if err != nil {
		return err
	}
	for _, sc := range scenarios {
		if err := supported(sc, f.backend); err != nil {
			return err
		}
		if o.Seed != nil {
			sc.Seed = *o.Seed
		}
	}
	netns := slices.ContainsFunc(scenarios, func(sc *scenario.Scenario) bool { return backendOf(sc, f.backend) == scenario.Namespaces })
	if err := f.useless(netns); err != nil {
		return err
	}
	if o.Binary, err = findBinary(f.binary); err != nil {
		return err
	}
	for flag, folder := range map[string]string{"--pcap": f.pcap, "--report": f.report} {
		if folder == "" {
			continue
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return usageError("%s: %w", flag, err)
		}
	}
	ctx, stop := a.interruptible(ctx)
	defer stop()
	if netns {
		if err := a.lab.Sweep(o.Log); err != nil {
			fmt.Fprintf(a.err, "multilink-sim: what an earlier run left could not be removed: %v\n", err)
		}
	}
	results, code := a.runAll(ctx, scenarios, f, o)
	if err := a.write(f, scenarios, results); err != nil {
		return &exitError{worst(code, exitFailed), err}
	}
	if code != exitHeld {
		return &exitError{code: code}
	}
	return nil
}

// check refuses values of flags before anything is started.
func (f *runFlags) check() error {
	if f.backend != "" && f.backend != scenario.Namespaces && f.backend != scenario.VirtualTime {
		return usageError("--backend = %q: must be %s or %s", f.backend, scenario.Namespaces, scenario.VirtualTime)
	}
	if !slices.Contains(impairModes, f.impair) {
		return usageError("--impair = %q: must be one of %s", f.impair, strings.Join(impairModes, ", "))
	}
	for flag, path := range map[string]string{"--json": f.json, "--junit": f.junit} {
		if path == "-" && flag == "--json" {
			continue
		}
		if err := writable(flag, path); err != nil {
			return err
		}
	}
	return nil
}

// useless refuses what only runs in namespaces leave behind, when there are
// none. --impair is let pass: it says how namespaces are to be impaired, and a
// script may say so for every scenario.
func (f *runFlags) useless(inNamespaces bool) error {
	if inNamespaces {
		return nil
	}
	for flag, given := range map[string]bool{"--keep": f.keep, "--pcap": f.pcap != ""} {
		if given {
			return usageError("%s: only for runs in namespaces (--backend netns), not for virtual time", flag)
		}
	}
	return nil
}

// backendOf is where a scenario runs: where it was asked to, else in
// namespaces if the scenario allows it.
func backendOf(sc *scenario.Scenario, asked string) string {
	switch {
	case asked != "":
		return asked
	case slices.Contains(sc.Backends, scenario.Namespaces):
		return scenario.Namespaces
	}
	return scenario.VirtualTime
}

func (a *app) runner(backend string) runner {
	if backend == scenario.VirtualTime {
		return a.virtual
	}
	return a.lab
}

// runAll runs the scenarios until one is interrupted, and shows each result.
// Every one that was begun has a result.
func (a *app) runAll(ctx context.Context, scenarios []*scenario.Scenario, f runFlags, o lab.Options) ([]*report.Result, int) {
	text := a.out
	if f.json == "-" {
		text = a.err // the standard output is the JSON's
	}
	var results []*report.Result
	code := exitHeld
	for _, sc := range scenarios {
		p := newProgress(a.err, len(scenarios), len(results))
		if o.Log == io.Discard {
			o.Progress = p.show // the log says the same at greater length
		}
		backend := backendOf(sc, f.backend)
		result, err := a.runner(backend).Run(ctx, sc, o)
		p.finish()
		result, status := settle(ctx, sc, backend, result, err)
		code = worst(code, status)
		results = append(results, result)
		_ = report.WriteText(text, result)
		if ctx.Err() != nil {
			break
		}
	}
	if len(scenarios) > 1 {
		fmt.Fprintln(text)
		_ = report.WriteSummary(text, results)
	}
	return results, code
}

// settle makes a result and a status of what the lab returned. A run that
// broke says nothing about the product: its result is inconclusive.
func settle(ctx context.Context, sc *scenario.Scenario, backend string, result *report.Result, err error) (*report.Result, int) {
	if err == nil {
		return result, map[report.Verdict]int{report.Pass: exitHeld, report.Inconclusive: exitInconclusive, report.Fail: exitFailed}[result.Verdict]
	}
	if result == nil {
		result = &report.Result{Scenario: sc.Name, Backend: backend, Seed: sc.Seed}
	}
	result.Verdict, result.Reason = report.Inconclusive, err.Error()
	switch {
	case ctx.Err() != nil:
		result.Reason = "interrupted"
		return result, exitInconclusive
	case errors.Is(err, lab.ErrMachine):
		return result, exitMachine
	case errors.Is(err, virtual.ErrUnsupported):
		return result, exitUsage
	default:
		return result, exitFailed
	}
}

// worst is the status that counts of two. That something failed is worth most
// to know, then that the machine lacks something, which has to be mended by
// hand.
func worst(a, b int) int {
	order := []int{exitHeld, exitInconclusive, exitMachine, exitFailed, exitUsage}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}

// write writes what was asked for. The results are of the first scenarios.
func (a *app) write(f runFlags, scenarios []*scenario.Scenario, results []*report.Result) error {
	var errs []error
	if f.report != "" {
		page, err := compare.RunPage(scenarios, results, os.Args, version())
		if err == nil {
			err = report.WriteFile(filepath.Join(f.report, compare.ReportFile), func(w io.Writer) error { return report.WriteHTML(w, page) })
		}
		errs = append(errs, err)
	}
	if f.json == "-" {
		errs = append(errs, report.WriteJSON(a.out, results))
	} else if f.json != "" {
		errs = append(errs, report.WriteFile(f.json, func(w io.Writer) error { return report.WriteJSON(w, results) }))
	}
	if f.junit != "" {
		errs = append(errs, report.WriteFile(f.junit, func(w io.Writer) error { return report.WriteJUnit(w, results) }))
	}
	return errors.Join(errs...)
}
