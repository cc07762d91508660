package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/multilink-vpn/multilink/core/engine"
)

const watchInterval = time.Second

func newStatus() *cobra.Command {
	var (
		asJSON, watch bool
		socket        string
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running client or server is doing",
		Example: `  multilink status
  multilink status --watch
  multilink status --json | jq '.links[] | {name, state, srtt}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := findSocket(socket, runDir)
			if err != nil {
				return failure(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			show := showText
			if asJSON {
				show = showJSON
			}
			if !watch {
				return failure(showOnce(ctx, path, cmd.OutOrStdout(), show))
			}
			return failure(showForever(ctx, path, cmd.OutOrStdout(), show, !asJSON && onTerminal(cmd.OutOrStdout())))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second until interrupted")
	addSocket(cmd, &socket)
	return cmd
}

func showOnce(ctx context.Context, path string, w io.Writer, show func(io.Writer, engine.Status) error) error {
	var status engine.Status
	err := askStatus(ctx, path, &status)
	if err != nil {
		return err
	}
	return show(w, status)
}

// showForever shows the status every second; clear wipes the terminal before.
func showForever(ctx context.Context, path string, w io.Writer, show func(io.Writer, engine.Status) error, wipe bool) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		var text strings.Builder
		err := showOnce(ctx, path, &text, show)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		const home = "\x1b[H\x1b[2J" // ECMA-48 CUP and ED
		if wipe {
			fmt.Fprint(w, home)
		}
		if _, err := io.WriteString(w, text.String()); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func showJSON(w io.Writer, status engine.Status) error { return json.NewEncoder(w).Encode(status) }

func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
