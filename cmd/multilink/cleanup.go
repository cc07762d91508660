package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/core/hostnet"
)

func newCleanup() *cobra.Command {
	dirs := []string{config.RunDir, config.VarDir}
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Undo what a killed client or server left on this machine",
		Long: `Undo what clients and servers that were killed left on this machine: routes,
rules, addresses, nftables tables, DNS and sysctls, kill switches included. What
running ones use is not touched. It says what it removed.`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := engine.CheckRights("cleanup"); err != nil {
				return failure(err)
			}
			return failure(cleanup(cmd.OutOrStdout(), dirs))
		},
	}
	cmd.Flags().StringArrayVar(&dirs, "state-dir", dirs, "state directory (state_dir in the configuration); can be given several times")
	return cmd
}

func cleanup(w io.Writer, dirs []string) error {
	var errs []error
	found := false
	for _, dir := range dirs {
		removed, err := hostnet.Recover(dir)
		errs = append(errs, err)
		sockets, err := removeDeadSockets(dir)
		errs = append(errs, err)
		for _, r := range removed {
			fmt.Fprintln(w, r)
		}
		for _, path := range sockets {
			fmt.Fprintf(w, "removed status socket %s\n", path)
		}
		found = found || len(removed)+len(sockets) > 0
	}
	err := errors.Join(errs...)
	if !found && err == nil {
		fmt.Fprintln(w, "nothing to clean up")
	}
	return err
}

// removeDeadSockets removes the status sockets that nobody listens on.
func removeDeadSockets(dir string) (removed []string, err error) {
	all, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, path := range all {
		conn, err := net.DialTimeout("unix", path, statusTimeout)
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			continue
		}
		if err := os.Remove(path); err != nil {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, path)
	}
	return removed, errors.Join(errs...)
}
