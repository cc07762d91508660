package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

const about = `Multilink joins several internet links into one tunnel.

Set up a server and a client:
  multilink keygen                          on each, to make their keys
  sudo multilink server --config server.toml
  sudo multilink client --config client.toml
  sudo multilink status --watch`

// execute runs the command line and returns the exit status.
func execute(args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errOut, "multilink: %v\n", err)
	if failed, ok := errors.AsType[*exitError](err); ok {
		return failed.code
	}
	// All commands wrap their errors: this one is cobra's, about the usage.
	fmt.Fprintln(errOut, "Run 'multilink --help' for usage.")
	return exitUsage
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "multilink",
		Short:         "A VPN over several internet links at once",
		Long:          about,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		// Without a command: help, and exit 2 as for any wrong usage.
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(cmd.ErrOrStderr())
			_ = cmd.Usage()
			return &exitError{exitUsage, errors.New("a command is missing")}
		},
	}
	root.SetVersionTemplate("multilink {{.Version}}\n")
	root.AddCommand(
		newClient(), newServer(), newStatus(), newKeygen(), newPubkey(), newCleanup(), newVersion(),
	)
	return root
}
