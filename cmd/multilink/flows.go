package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/core/session"
)

func newFlows() *cobra.Command {
	var args engine.FlowsArguments
	cmd := showing(&cobra.Command{
		Use:   "flows",
		Short: "Show the flows in the tunnel: which are calls, why, and which link they use",
		Example: `  multilink flows
  multilink flows --watch
  multilink flows --json | jq '.sessions[].flows[] | select(.class == "call")'`,
	}, func(path string, asJSON bool) show { return showFlows(path, args, asJSON) })
	cmd.Flags().StringVar(&args.Client, "client", "", "on a server: of this client only")
	return cmd
}

func showFlows(path string, args engine.FlowsArguments, asJSON bool) show {
	return func(ctx context.Context, w io.Writer) error {
		var answer engine.FlowsAnswer
		if err := ask(ctx, path, "flows", args, &answer); err != nil {
			return err
		}
		if asJSON {
			return json.NewEncoder(w).Encode(answer)
		}
		return flowsText(w, answer)
	}
}

// flowsText prints flows for people: calls first, then by rate.
func flowsText(w io.Writer, answer engine.FlowsAnswer) error {
	if len(answer.Sessions) == 0 {
		_, err := fmt.Fprintln(w, "no session yet")
		return err
	}
	for _, s := range answer.Sessions {
		if s.Client != "" {
			fmt.Fprintf(w, "client: %s\n", s.Client)
		}
		fmt.Fprintf(w, "%d flows, classifier %s\n", len(s.Flows), s.Classifier)
		slices.SortStableFunc(s.Flows, func(a, b session.Flow) int {
			return cmp.Or(-cmp.Compare(weight(a), weight(b)), -cmp.Compare(a.Sent.Rate+a.Received.Rate, b.Sent.Rate+b.Received.Rate))
		})
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "CLASS\tFLOW\tSENT\tRECEIVED\tLINK\tWHY")
		for _, f := range s.Flows {
			fmt.Fprintf(t, "%s\t%s %s - %s\t%s\t%s\t%s\t%s\n", f.Class, f.Protocol, f.Local, f.Remote,
				rate(f.Sent.Rate), rate(f.Received.Rate), cmp.Or(strings.Join(f.Links, "+"), "-"), why(f))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// weight orders the classes of flows.
func weight(f session.Flow) int {
	return slices.Index([]string{session.ClassOther, session.ClassLowLatency, session.ClassMaybe, session.ClassCall}, f.Class)
}

func why(f session.Flow) string {
	if f.Evidence == "" {
		return f.Why
	}
	return fmt.Sprintf("%s (%s)", f.Why, f.Evidence)
}
