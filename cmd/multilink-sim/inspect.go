package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// defaultFolder is where the scenarios of the project are.
const defaultFolder = "scenarios"

func (a *app) listCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "list [DIR|FILE...]",
		Short:             "List scenarios: name, backends, about",
		Long:              "List scenarios: name, backends, about. Without an argument those in ./" + defaultFolder + ".",
		ValidArgsFunction: scenarioFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				if _, err := os.Stat(defaultFolder); err != nil {
					return usageError("there is no folder %s here: name a folder or files", defaultFolder)
				}
				args = []string{defaultFolder}
			}
			loaded, err := a.load(args, nil)
			t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, sc := range loaded {
				fmt.Fprintf(t, "%s\t%s\t%s\n", sc.Name, strings.Join(sc.Backends, ","), sc.About)
			}
			return errors.Join(err, t.Flush())
		},
	}
}

func (a *app) checkCommand() *cobra.Command {
	var set []string
	cmd := &cobra.Command{
		Use:               "check FILE...",
		Short:             "Check scenarios without running them",
		Long:              "Check scenarios without running them. Every fault is shown as file:line:column: message.",
		Args:              cli.Args(1, -1),
		ValidArgsFunction: scenarioFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			loaded, err := a.load(args, set)
			for _, sc := range loaded {
				fmt.Fprintf(a.out, "%s: %s, links: %d, traffic: %d, actions: %d, expectations: %d\n",
					sc.Path, sc.Name, len(sc.Links), len(sc.Traffic), len(sc.Timeline), len(sc.Expect))
			}
			return err
		},
	}
	addSet(cmd, &set)
	return cmd
}

// addSet adds the flag that overrides keys of the scenario.
func addSet(cmd *cobra.Command, set *[]string) {
	cmd.Flags().StringArrayVar(set, "set", nil,
		"override a key of the scenario, as in client.scheduler=minrtt or links.wlan0.both.rate=5mbit (repeatable)")
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenarios, for editors",
		Args:  cli.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(scenario.Schema())
			return err
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cli.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.out, version())
			return err
		},
	}
}

// version says which program this is.
func version() string { return cli.VersionLine("multilink-sim") }
