package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

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
		Args:          needCommand,
		RunE:          func(*cobra.Command, []string) error { return nil },
	}
	root.SetVersionTemplate("multilink {{.Version}}\n")
	root.AddCommand(
		newClient(), newServer(), newStatus(), newMonitor(), newFlows(), newLink(), newQoS(), newKeygen(), newPubkey(), newCleanup(), newVersion(),
	)
	return root
}

// needCommand is the Args of a command that only has commands below it: it
// shows the usage when none is named, and what may have been meant when there
// is none of that name.
func needCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(cmd.ErrOrStderr())
		_ = cmd.Usage()
		return usage(errors.New("a command is missing"))
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong, cobra's default
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf(": did you mean %s?", strings.Join(near, " or "))
	}
	return errors.New(text)
}
