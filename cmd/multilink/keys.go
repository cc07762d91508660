package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/multilink-vpn/multilink/cmd/internal/cli"
	"github.com/multilink-vpn/multilink/core/control"
)

func newKeygen() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a new key pair",
		Long: `Make a new key pair and print it as lines for the configuration file.

The private key stays on this machine; the public key goes into the other
end's configuration: a client's under [[clients]] of the server, the server's
as server_key of each client.`,
		Example: `  multilink keygen
  multilink keygen --out /etc/multilink/private.key`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("out") && out == "" {
				return usage(errors.New("--out: the name of the file is empty"))
			}
			return failure(keygen(cmd.OutOrStdout(), out))
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the private key to this new file (mode 0600), for private_key_file, and print only the public key")
	return cmd
}

func keygen(w io.Writer, path string) error {
	key, err := control.GenerateKey()
	if err != nil {
		return err
	}
	if path == "" {
		fmt.Fprintf(w, "private_key = %q\n", key.Text())
	} else if err := writeKey(path, key.Text()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "public_key = %q\n", key.Public())
	return err
}

// writeKey never replaces a file: it could be the only copy of a key.
func writeKey(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return fmt.Errorf("%s exists and is not replaced: it could be the only copy of a key", path)
	}
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	_, err = f.WriteString(text + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func newPubkey() *cobra.Command {
	return &cobra.Command{
		Use:     "pubkey",
		Short:   "Print the public key of the private key on standard input",
		Example: `  multilink pubkey < /etc/multilink/private.key`,
		Args:    cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4096))
			if err != nil {
				return failure(err)
			}
			key, err := control.ParsePrivateKey(strings.TrimSpace(string(text)))
			if err != nil {
				return usage(fmt.Errorf("private key on standard input: %w", err))
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), key.Public())
			return failure(err)
		},
	}
}
