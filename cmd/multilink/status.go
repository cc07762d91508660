package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/multilink-vpn/multilink/core/engine"
)

const (
	runDir        = "/run/multilink" // where status sockets are by default
	watchInterval = time.Second
	statusTimeout = 5 * time.Second
	maxStatus     = 64 << 20 // bytes: thousands of clients
)

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
	cmd.Flags().StringVar(&socket, "socket", "", "status socket (default: the only one in "+runDir+")")
	return cmd
}

// findSocket returns the socket to ask: the given one, else the only one in
// dir that somebody listens on.
func findSocket(given, dir string) (string, error) {
	if given != "" {
		return given, nil
	}
	all, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	if err != nil {
		return "", err
	}
	var live []string
	for _, path := range all {
		conn, err := net.DialTimeout("unix", path, statusTimeout)
		if errors.Is(err, syscall.ECONNREFUSED) {
			continue // its process was killed
		}
		if err == nil {
			conn.Close()
		}
		live = append(live, path)
	}
	switch len(live) {
	case 0:
		return "", fmt.Errorf("no multilink client or server is running (no live socket in %s): start one, or name its socket with --socket", dir)
	case 1:
		return live[0], nil
	}
	return "", fmt.Errorf("several are running, choose one with --socket: %s", strings.Join(live, ", "))
}

// fetch asks for the status.
func fetch(ctx context.Context, path string) (engine.Status, error) {
	var status engine.Status
	client := http.Client{
		Timeout: statusTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			},
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://multilink/", nil)
	if err != nil {
		return status, err
	}
	response, err := client.Do(request)
	if err != nil {
		return status, explainSocket(path, err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxStatus)).Decode(&status); err != nil {
		return status, fmt.Errorf("status socket %s: %w", path, err)
	}
	return status, nil
}

// explainSocket says in a user's words why a socket does not answer.
func explainSocket(path string, err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("status socket %s: permission denied: run it with sudo", path)
	case errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("status socket %s does not exist: nothing is running under it", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("status socket %s does not answer: its process was killed ('multilink cleanup' removes what it left)", path)
	}
	return fmt.Errorf("status socket %s: %w", path, err)
}

func showOnce(ctx context.Context, path string, w io.Writer, show func(io.Writer, engine.Status) error) error {
	status, err := fetch(ctx, path)
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
