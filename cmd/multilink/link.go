package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
)

func newLink() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Show and change what a running client uses each link for",
		Args:  needCommand,
		RunE:  func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(newLinkList(), newLinkSet())
	return cmd
}

func newLinkList() *cobra.Command {
	var (
		asJSON bool
		socket string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the links with their roles, caps, limits and quotas",
		Args:  cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := findSocket(socket, config.RunDir)
			if err != nil {
				return failure(err)
			}
			var list []engine.LinkSettings
			if err := ask(cmd.Context(), path, "link-list", struct{}{}, &list); err != nil {
				return failure(err)
			}
			if asJSON {
				return failure(json.NewEncoder(cmd.OutOrStdout()).Encode(list))
			}
			return failure(showSettings(cmd.OutOrStdout(), list))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	addSocket(cmd, &socket)
	return cmd
}

func newLinkSet() *cobra.Command {
	var (
		request engine.LinkSetArguments
		socket  string
	)
	cmd := &cobra.Command{
		Use:   "set NAME [active|backup|off]",
		Short: "Change what a link is used for, until the client ends or reads its configuration again",
		Example: `  multilink link set wwan0 backup
  multilink link set wwan0 --cap-down "5 Mbit/s" --quota "10 GB" --reset-day 15
  multilink link set eth0 --max-rtt 300ms --max-loss "5 %"
  multilink link set wwan0 --quota none`,
		Args: cli.Args(1, 2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []string{config.RoleActive, config.RoleBackup, config.RoleOff}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			if len(args) > 1 {
				request.Role = args[1]
			}
			if request == (engine.LinkSetArguments{Name: request.Name}) {
				return usage(fmt.Errorf("nothing to change about %s: name a role or a flag (multilink link set --help)", request.Name))
			}
			if _, err := request.Apply(config.DefaultLinkPolicy); err != nil {
				return usage(err)
			}
			path, err := findSocket(socket, config.RunDir)
			if err != nil {
				return failure(err)
			}
			var got engine.LinkSettings
			if err := ask(cmd.Context(), path, "link-set", request, &got); err != nil {
				return failure(err)
			}
			return failure(showSettings(cmd.OutOrStdout(), []engine.LinkSettings{got}))
		},
	}
	f := cmd.Flags()
	f.StringVar(&request.CapUp, "cap-up", "", `most that it may send, such as "5 Mbit/s"; "none": no limit`)
	f.StringVar(&request.CapDown, "cap-down", "", "most that it may receive, in the same way")
	f.StringVar(&request.MaxRTT, "max-rtt", "", `round trip from which the backups help, such as 300ms, or "none"`)
	f.StringVar(&request.MaxLoss, "max-loss", "", `share of losses from which the backups help, such as "5 %", or "none"`)
	f.StringVar(&request.Quota, "quota", "", `what it may carry a month, such as "10 GB", or "none"`)
	f.StringVar(&request.ResetDay, "reset-day", "", "day of the month on which the quota begins anew, 1 to 31")
	f.StringVar(&request.AtQuota, "at-quota", "", "what it becomes when the quota is used up: off or backup")
	f.BoolVar(&request.ResetUsage, "reset-usage", false, "count the quota from zero")
	addSocket(cmd, &socket)
	return cmd
}

// showSettings prints a table of links.
func showSettings(w io.Writer, list []engine.LinkSettings) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LINK\tROLE\tSTATE\tCAP UP\tCAP DOWN\tMAX RTT\tMAX LOSS\tQUOTA\tNOTE")
	for _, l := range list {
		quota := "none"
		if q := l.Quota; q != nil {
			quota = fmt.Sprintf("%s of %s, resets %s, then %s", config.ShowVolume(q.Used), config.ShowVolume(q.Limit), q.Resets, q.AtQuota)
		}
		rtt := "none"
		if l.MaxRTT > 0 {
			rtt = time.Duration(l.MaxRTT * float64(time.Second)).String()
		}
		row := []string{
			l.Name, l.Role, cmp.Or(l.State, "?"), config.ShowRate(l.CapUp), config.ShowRate(l.CapDown),
			rtt, config.ShowShare(l.MaxLoss), quota, l.Reason,
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	return t.Flush()
}
