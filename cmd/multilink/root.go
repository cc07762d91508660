package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
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
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(errOut, "multilink: %v\n", err)
	if failed, ok := errors.AsType[*exitError](err); ok {
		return failed.code
	}
	// All commands wrap their errors: this one is cobra's, about the usage.
	fmt.Fprintf(errOut, "Run '%s --help' for usage.\n", cmd.CommandPath())
	return exitUsage
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "multilink",
		Short:         "A VPN over several internet links at once",
		Long:          about,
		Version:       cli.Version(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          needCommand,
		RunE:          func(*cobra.Command, []string) error { return nil },
	}
	root.SetFlagErrorFunc(cli.FlagError)
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
	return cli.UnknownCommand(cmd, args[0])
}
