package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

// shellFile is the size of the file that the hosts serve to a shell.
const shellFile = 100 << 20

// Shell builds a scenario's network, starts server and client, and opens a
// shell on the client at this process's terminal. Traffic, timeline and
// expectations are left out; both hosts serve HTTP and DNS. Everything is
// removed when the shell ends.
func Shell(ctx context.Context, sc *scenario.Scenario, o Options) error {
	quiet := *sc
	quiet.Traffic, quiet.Timeline, quiet.Expect = nil, nil, nil
	o.Keep = false
	r := newRun(&quiet, o, sc.Name)
	return r.within(ctx, func() error {
		for _, text := range r.broken {
			fmt.Fprintf(os.Stderr, "%s\n", text) // the shell is where to find out why
		}
		return r.shell(ctx)
	})
}

func (r *run) shell(ctx context.Context) error {
	for i, host := range r.topology.hosts {
		for _, family := range []int{4, 6} {
			at := traffic.End{NS: host.ns, Addr: hostAddress(i+1, family)}
			services, err := traffic.Serve(ctx, at, r.sc.Seed, shellFile)
			if err != nil {
				return fmt.Errorf("services of host %d: %w", i+1, err)
			}
			defer services.Stop()
		}
	}
	program := os.Getenv("SHELL")
	if program == "" {
		program = "/bin/sh"
	}
	r.tellShell()
	cmd := exec.Command(program)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(r.product.environment(),
		"MULTILINK_SOCKET="+r.product.client.files.socket(),
		"PS1=[client of "+r.sc.Name+"] \\w\\$ ")
	if err := nsdo.Start(r.topology.client.ns, cmd, r.product.client.mounts); err != nil {
		return fmt.Errorf("the shell: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(unix.SIGHUP) })
	defer stop()
	err := cmd.Wait()
	var status *exec.ExitError
	if errors.As(err, &status) {
		return nil // what a shell returns is that of its last command
	}
	return err
}

// tellShell prints what there is to try.
func (r *run) tellShell() {
	f := r.product.client.files
	fmt.Printf(`This is the client. Links:`)
	for _, l := range r.topology.links {
		fmt.Printf(" %s", l.Name)
	}
	fmt.Printf(`
  %s status
  curl -o /dev/null http://%s/file        (100 MiB; or http://%s/, and [%s])
  log of the client: %s
  log of the server: %s
Other machines, from another terminal: ip netns exec NAME bash, NAME one of
`, r.product.binary, hostAddress(1, 4), hostAddress(2, 4), hostAddress(1, 6), f.log(), r.product.server.files.log())
	for _, s := range r.topology.made {
		fmt.Printf("  %s\n", s.name)
	}
	fmt.Println("Leave the shell to remove everything.")
}
