package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
)

// maxEvent bounds one event, in bytes.
const maxEvent = 64 << 10

func newMonitor() *cobra.Command {
	var (
		asJSON bool
		socket string
	)
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Print what happens to a running client or server, as it happens",
		Example: `  multilink monitor
  multilink monitor --json | jq 'select(.link == "wlan0")'`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := findSocket(socket, config.RunDir)
			if err != nil {
				return failure(err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			show := showEvent
			if asJSON {
				show = func(w io.Writer, line []byte) error {
					_, err := fmt.Fprintf(w, "%s\n", line)
					return err
				}
			}
			err = follow(ctx, path, func(line []byte) error { return show(cmd.OutOrStdout(), line) })
			if ctx.Err() != nil {
				return nil
			}
			return failure(err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line")
	addSocket(cmd, &socket)
	return cmd
}

// follow calls f with each event, until ctx ends or the process behind the
// socket does.
func follow(ctx context.Context, path string, f func(line []byte) error) error {
	response, err := request(ctx, path, http.MethodGet, "events", nil, 0)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		if err := f(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("status socket %s: %w", path, err)
	}
	return errors.New("the client or server has ended")
}

// showEvent prints an event for people: the time, the event, what belongs to it.
func showEvent(w io.Writer, line []byte) error {
	var ev engine.Event
	if err := json.Unmarshal(line, &ev); err != nil {
		return fmt.Errorf("event %q: %w", line, err)
	}
	if n, ok := ev["dropped"]; ok {
		fmt.Fprintf(w, "(%v events were missed here)\n", n)
	}
	text := fmt.Sprintf("%s  %-18v", clockTime(ev["time"]), ev["event"])
	for _, first := range []string{"client", "link"} {
		if v, ok := ev[first]; ok {
			text += fmt.Sprintf(" %s %v", first, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ev)) {
		if !slices.Contains([]string{"time", "event", "client", "link", "dropped"}, name) {
			text += fmt.Sprintf("  %s: %v", name, ev[name])
		}
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(text, " "))
	return err
}

// clockTime is the time of day of an event, to the millisecond.
func clockTime(v any) string {
	text, _ := v.(string)
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return at.Local().Format("15:04:05.000")
}
