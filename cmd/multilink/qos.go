package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/core/qos"
)

func newQoS() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "qos",
		Short: "Show and change a running client's rules of priority and latency",
		Long: `Show and change the rules by which a running client gives priority and low
latency to packets. The first rule that matches counts. Changes last until the
client ends or reads its configuration again.`,
		Args: needCommand,
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	cmd.AddCommand(newQoSList(), newQoSAdd(), newQoSRemove())
	return cmd
}

func newQoSList() *cobra.Command {
	var (
		asJSON bool
		socket string
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the rules, with how many packets each has matched",
		Args:  cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return failure(changeQoS(cmd, socket, engine.QoSChange{}, asJSON))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	addSocket(cmd, &socket)
	return cmd
}

func newQoSAdd() *cobra.Command {
	var (
		rule   qos.Text
		change = engine.QoSChange{Add: &rule}
		socket string
	)
	cmd := &cobra.Command{
		Use:   "add",
		Short: "Add a rule",
		Example: `  multilink qos add --address 198.51.100.7 --priority 1
  multilink qos add --port 5000-5999 --protocol udp --latency low
  multilink qos add --dscp le --priority 3 --at 1`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("at") && change.At < 1 {
				return usage(fmt.Errorf("--at = %d: must be from 1 on", change.At))
			}
			if _, err := qos.Parse(rule); err != nil {
				return usage(wrongRule(cmd, err))
			}
			return failure(changeQoS(cmd, socket, change, false))
		},
	}
	f := cmd.Flags()
	f.StringVar(&rule.Address, "address", "", `of the remote end: "192.0.2.1" or "2001:db8::/32"`)
	f.StringVar(&rule.Port, "port", "", "of the remote end: 443 or 5000-5999")
	f.StringVar(&rule.Protocol, "protocol", "", "tcp, udp, icmp or a number")
	f.StringVar(&rule.DSCP, "dscp", "", "0 to 63, or a name such as ef, af41 or cs1")
	f.StringVar(&rule.Direction, "direction", "", "up, down or both (the default)")
	f.IntVar(&rule.Priority, "priority", 0, "1 (the highest), 2 or 3")
	f.StringVar(&rule.Latency, "latency", "", "low")
	f.IntVar(&change.At, "at", 0, "number that the rule gets (default: the last)")
	addSocket(cmd, &socket)
	return cmd
}

// wrongRule names the flag that a rule is wrong for, with its value.
func wrongRule(cmd *cobra.Command, err error) error {
	wrong, ok := errors.AsType[*qos.FieldError](err)
	if !ok || !cmd.Flags().Changed(wrong.Field) {
		return err
	}
	return fmt.Errorf("--%s %q: %w", wrong.Field, cmd.Flag(wrong.Field).Value.String(), wrong.Err)
}

func newQoSRemove() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "remove NUMBER",
		Short: "Remove the rule of a number",
		Args:  cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil || n < 1 {
				return usage(fmt.Errorf("%q: must be the number of a rule (multilink qos list)", args[0]))
			}
			return failure(changeQoS(cmd, socket, engine.QoSChange{Remove: n}, false))
		},
	}
	addSocket(cmd, &socket)
	return cmd
}

// changeQoS asks for a change, or for none, and shows the rules that are in
// force then.
func changeQoS(cmd *cobra.Command, socket string, change engine.QoSChange, asJSON bool) error {
	path, err := findSocket(socket, config.RunDir)
	if err != nil {
		return err
	}
	var got engine.QoSRules
	if err := ask(cmd.Context(), path, "qos", change, &got); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(got)
	}
	return showRules(cmd.OutOrStdout(), got)
}

// showRules prints the mode and a table of rules.
func showRules(w io.Writer, got engine.QoSRules) error {
	mode := "mode " + got.Mode
	if got.Reason != "" {
		mode += " (" + got.Reason + ")"
	}
	if len(got.List) == 0 {
		_, err := fmt.Fprintln(w, mode+", no rules")
		return err
	}
	fmt.Fprintln(w, mode)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RULE\tADDRESS\tPORT\tPROTOCOL\tDSCP\tDIRECTION\tGIVES\tPACKETS")
	for _, r := range got.List {
		gives := "latency " + r.Latency
		if r.Latency == "" {
			gives = "priority " + strconv.Itoa(r.Priority)
		}
		row := []string{
			strconv.Itoa(r.Number), cmp.Or(r.Address, "any"), cmp.Or(r.Port, "any"), cmp.Or(r.Protocol, "any"), cmp.Or(r.DSCP, "any"),
			cmp.Or(r.Direction, "both"), gives, strconv.FormatUint(r.Packets, 10),
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}
