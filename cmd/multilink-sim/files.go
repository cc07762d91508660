package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/virtual"
)

// expand replaces each folder by the scenario files in it.
func expand(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, usageError("%s: no such file or folder", path)
		}
		if err != nil {
			return nil, usageError("%w", err)
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		var found []string
		for _, pattern := range []string{"*.yaml", "*.yml"} {
			matches, err := filepath.Glob(filepath.Join(path, pattern))
			if err != nil {
				return nil, usageError("%w", err)
			}
			found = append(found, matches...)
		}
		if len(found) == 0 {
			return nil, usageError("%s: no scenario (*.yaml) in this folder", path)
		}
		slices.Sort(found)
		files = append(files, found...)
	}
	return files, nil
}

// load reads all scenarios. Every fault of every file is printed; the error
// says only that there were some.
func (a *app) load(paths, set []string) ([]*scenario.Scenario, error) {
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	var loaded []*scenario.Scenario
	byName := map[string]string{}
	faults := false
	for _, file := range files {
		sc, err := scenario.Load(file, options(set))
		if err == nil {
			err = unique(byName, sc)
		}
		if err != nil {
			fmt.Fprintln(a.err, err)
			faults = true
			continue
		}
		loaded = append(loaded, sc)
	}
	if faults {
		return loaded, &exitError{code: exitUsage}
	}
	return loaded, nil
}

// unique checks that no other file has the scenario's name.
func unique(byName map[string]string, sc *scenario.Scenario) error {
	if other, ok := byName[sc.Name]; ok && other != sc.Path {
		return fmt.Errorf("%s: the name %q is that of %s already", sc.Path, sc.Name, other)
	}
	byName[sc.Name] = sc.Path
	return nil
}

// supported refuses what the language has and the testbed does not yet.
func supported(sc *scenario.Scenario, asked string) error {
	backend := backendOf(sc, asked)
	if !slices.Contains(sc.Backends, backend) {
		return usageError("%s: is not for the backend %s, only for %s", sc.Path, backend, strings.Join(sc.Backends, ", "))
	}
	if backend == scenario.VirtualTime {
		if err := virtual.Check(sc); err != nil {
			return &exitError{exitUsage, err}
		}
	}
	return nil
}

// writable checks, before anything is run, that the file of a flag can be
// written; "" is none.
func writable(flag, path string) error {
	if path == "" {
		return nil
	}
	folder := filepath.Dir(path)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return usageError("%s = %q: there is no folder %s", flag, path, folder)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usageError("%s = %q: is a folder: must be a file", flag, path)
	}
	if err := unix.Access(folder, unix.W_OK); err != nil {
		return usageError("%s = %q: the folder %s cannot be written to: %w", flag, path, folder, err)
	}
	return nil
}

// scenarioFiles completes the names of scenario files.
func scenarioFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// findBinary returns the path of the product: as given, else beside this
// program, else on the search path, else "".
func findBinary(given string) (string, error) {
	if given != "" {
		return executable(given)
	}
	if self, err := os.Executable(); err == nil {
		if path, err := executable(filepath.Join(filepath.Dir(self), "multilink")); err == nil {
			return path, nil
		}
	}
	if path, err := exec.LookPath("multilink"); err == nil {
		return filepath.Abs(path)
	}
	return "", nil
}

func executable(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", usageError("--binary: %w", err)
	}
	if info.IsDir() || info.Mode()&0o111 == 0 {
		return "", usageError("--binary: %s is not a program", path)
	}
	return filepath.Abs(path)
}
