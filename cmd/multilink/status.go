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

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
)

const watchInterval = time.Second

func newStatus() *cobra.Command {
	return showing(&cobra.Command{
		Use:   "status",
		Short: "Show what a running client or server is doing",
		Example: `  multilink status
  multilink status --watch
  multilink status --json | jq '.links[] | {name, state, srtt}'`,
	}, showStatus)
}

// showing makes cmd print what of gives, as text or JSON, once or again and
// again.
func showing(cmd *cobra.Command, of func(path string, asJSON bool) show) *cobra.Command {
	var (
		asJSON, watch bool
		socket        string
	)
	cmd.Args = cli.Args(0, 0)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		path, err := findSocket(socket, config.RunDir)
		if err != nil {
			return failure(err)
		}
		return failure(present(cmd, of(path, asJSON), watch, !asJSON))
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second until interrupted")
	addSocket(cmd, &socket)
	return cmd
}

// present shows an answer once, or until the user interrupts it; wipe clears a
// terminal in between.
func present(cmd *cobra.Command, s show, watch, wipe bool) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w := cmd.OutOrStdout()
	if !watch {
		return s(ctx, w)
	}
	return s.forever(ctx, w, wipe && onTerminal(w))
}

// show writes an answer once.
type show func(ctx context.Context, w io.Writer) error

func showStatus(path string, asJSON bool) show {
	return func(ctx context.Context, w io.Writer) error {
		var status engine.Status
		if err := askStatus(ctx, path, &status); err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(w).Encode(status)
		}
		return showText(w, status)
	}
}

// forever shows an answer every second; wipe clears the terminal before.
func (s show) forever(ctx context.Context, w io.Writer, wipe bool) error {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	for {
		var text strings.Builder
		err := s(ctx, &text)
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

func onTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
