package hostnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"strings"
	"time"
)

// resolvconfWait bounds one run of the program, which may restart services.
const resolvconfWait = 15 * time.Second

// resolvconfChange adds an entry with resolvconf(8): openresolv or Debian's,
// which ignores the options it does not know.
type resolvconfChange struct {
	Program string `json:"program"`
	Record  string `json:"record"`
	servers []netip.Addr
}

func (c *resolvconfChange) kind() string   { return "resolvconf" }
func (c *resolvconfChange) outlives() bool { return true }
func (c *resolvconfChange) String() string { return "resolvconf entry " + c.Record }

func (c *resolvconfChange) prepare(*env) (bool, error) { return true, nil }

func (c *resolvconfChange) do(*env) error {
	var text strings.Builder
	for _, server := range c.servers {
		fmt.Fprintf(&text, "nameserver %v\n", server)
	}
	// Metric 0 puts the entry first, -x keeps the others out of the file.
	return c.run(text.String(), "-a", c.Record, "-m", "0", "-x")
}

func (c *resolvconfChange) undo(*env) (outcome, error) {
	err := c.run("", "-d", c.Record, "-f")
	if errors.Is(err, fs.ErrNotExist) {
		return gone, nil // the program was removed, its entries with it
	}
	if err != nil {
		return gone, err
	}
	return undone, nil
}

func (c *resolvconfChange) run(input string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), resolvconfWait)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Program, args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.WaitDelay = time.Second
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("hostnet: %s %s: %w: %s", c.Program, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
