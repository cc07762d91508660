package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/multilink-vpn/multilink/sim/compare"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/virtual"
)

// plan makes the plan of a comparison, with everything checked that is to be
// run.
func (a *app) plan(paths []string, f *compareFlags) (*compare.Plan, error) {
	shard, err := compare.ParseShard(f.shard)
	if err != nil {
		return nil, usageError("--shard = %w", err)
	}
	if f.runs < 1 || f.runs > 1000 {
		return nil, usageError("--runs = %d: must be from 1 to 1000", f.runs)
	}
	for i, name := range f.schedulers {
		f.schedulers[i] = strings.TrimSpace(name) // of "wrr, minrtt"
	}
	if err := once("--schedulers", f.schedulers); err != nil {
		return nil, err
	}
	if contradicts(f.set) {
		return nil, usageError("--set client.scheduler: contradicts --schedulers, which sets it: leave it out")
	}
	for _, name := range f.schedulers {
		// The product's own check, on each file.
		if _, err := a.load(paths, append(slices.Clone(f.set), "client.scheduler="+name)); err != nil {
			return nil, err
		}
	}
	p := &compare.Plan{Impair: f.impair, Schedulers: f.schedulers, Runs: f.runs, Shard: shard, Command: os.Args, Version: version()}
	if p.Cases, err = a.cases(paths, f); err != nil {
		return nil, err
	}
	if p.Baselines, err = f.kinds(p.Cases); err != nil {
		return nil, err
	}
	if f.binary, err = findBinary(f.binary); err != nil {
		return nil, err
	}
	p.Program, err = programs(runsOn(p.Cases), f.binary)
	return p, err
}

// contradicts says whether settings name a scheduler, which is what a
// comparison chooses.
func contradicts(set []string) bool {
	return slices.ContainsFunc(set, func(s string) bool {
		path, _, _ := strings.Cut(s, "=")
		return path == "client.scheduler" || strings.HasPrefix(path, "client.scheduler.")
	})
}

// once checks that a list has entries, and each once.
func once(flag string, list []string) error {
	if len(list) == 0 {
		return usageError("%s: no name", flag)
	}
	for i, name := range list {
		switch {
		case name == "":
			return usageError("%s = %s: an empty name", flag, strings.Join(list, ","))
		case slices.Index(list, name) < i:
			return usageError("%s = %s: %s is there twice", flag, strings.Join(list, ","), name)
		}
	}
	return nil
}

// cases are the scenarios at all points. What is not for the backend that was
// asked for is left out, and said.
func (a *app) cases(paths []string, f *compareFlags) ([]compare.Case, error) {
	points := []compare.Point{{}}
	if f.points != "" {
		var err error
		if points, err = readPoints(f.points); err != nil {
			fmt.Fprintln(a.err, err)
			return nil, &exitError{code: exitUsage}
		}
		if slices.ContainsFunc(points, func(p compare.Point) bool { return contradicts(p.Set) }) {
			return nil, usageError("%s:1: the column client.scheduler contradicts --schedulers, which sets it: remove one of them", f.points)
		}
	}
	scenarios, err := a.load(paths, f.set)
	if err != nil {
		return nil, err
	}
	var cases []compare.Case
	for _, sc := range scenarios {
		if f.backend != "" && !slices.Contains(sc.Backends, f.backend) {
			fmt.Fprintf(a.err, "%s: left out: only for %s\n", sc.Path, strings.Join(sc.Backends, ", "))
			continue
		}
		switch err := supported(sc, f.backend); {
		case errors.Is(err, virtual.ErrUnsupported):
			fmt.Fprintf(a.err, "%s: left out: %v\n", sc.Path, err)
			continue
		case err != nil:
			return nil, err
		}
		for _, point := range points {
			c, err := a.caseAt(sc, point, f)
			if err != nil {
				return nil, err
			}
			cases = append(cases, c)
		}
	}
	if len(cases) == 0 {
		return nil, usageError("no scenario is left to compare")
	}
	return cases, nil
}

// caseAt is a scenario at a point; that without settings is the scenario.
func (a *app) caseAt(sc *scenario.Scenario, point compare.Point, f *compareFlags) (compare.Case, error) {
	backend := backendOf(sc, f.backend)
	if point.Name != "" {
		at, err := scenario.Load(sc.Path, options(slices.Concat(f.set, point.Set)))
		if err != nil {
			fmt.Fprintln(a.err, point.Place(err))
			return compare.Case{}, &exitError{code: exitUsage}
		}
		at.Name = sc.Name // results are found by it
		sc = at
	}
	c, err := compare.NewCase(sc, point.Name, backend)
	if err != nil {
		return c, usageError("%w", err)
	}
	return c, nil
}

func readPoints(path string) ([]compare.Point, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--points: %w", err)
	}
	defer file.Close()
	return compare.ReadPoints(path, file)
}

// kinds are the baselines that were asked for, else those that make sense. The
// one that a scenario's expectations need is always among them.
func (f *compareFlags) kinds(cases []compare.Case) ([]compare.Kind, error) {
	wanted := map[compare.Kind]bool{}
	for _, name := range f.baselines {
		kind := compare.Kind(name)
		if !slices.Contains(compare.Baselines, kind) {
			return nil, usageError("--baselines: %q: must be of alone, bare, mptcp", name)
		}
		wanted[kind] = true
	}
	if wanted[compare.MPTCP] && !runsOn(cases)(scenario.Namespaces) {
		return nil, usageError("--baselines: mptcp is the kernel's: only the backend %s has it", scenario.Namespaces)
	}
	if len(f.baselines) == 0 {
		wanted[compare.Alone] = true
		wanted[compare.Bare] = f.points == ""
		wanted[compare.MPTCP] = f.points == "" && runsOn(cases)(scenario.Namespaces)
	}
	for _, c := range cases {
		if c.Scenario.Baseline != "" {
			wanted[compare.Kind(c.Scenario.Baseline)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(compare.Baselines), func(k compare.Kind) bool { return !wanted[k] }), nil
}

// runsOn says whether any case runs on a backend.
func runsOn(cases []compare.Case) func(string) bool {
	return func(backend string) bool {
		return slices.ContainsFunc(cases, func(c compare.Case) bool { return c.Backend == backend })
	}
}
