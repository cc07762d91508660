package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/program"
)

// tunnel is a way between the two machines: what is loaded.
type tunnel struct {
	name           string
	world          *world
	client, server netip.Addr         // of the machines, inside it
	programs       []*program.Program // none: the bare cable
	sockets        []string           // where the product's programs tell their status
}

// close ends the tunnel's programs.
func (t *tunnel) close() {
	for _, p := range t.programs {
		_ = p.Stop() // that it had to be killed says nothing about its speed
	}
}

// cpu is the processor time that the tunnel's programs have used, in seconds.
func (t *tunnel) cpu() float64 {
	sum := time.Duration(0)
	for _, p := range t.programs {
		sum += p.ProcessorTime()
	}
	return sum.Seconds()
}

// upPatience bounds the wait for a program to be there.
const upPatience = 20 * time.Second

// waitUp waits until a connection through the tunnel can be made.
func (t *tunnel) waitUp(ctx context.Context) error {
	var listener net.Listener
	limit := time.Now().Add(upPatience)
	for {
		err := t.fault()
		if err != nil {
			return err
		}
		if listener == nil {
			// Fails until the server's program has given its device the address.
			if listener, err = listenTCP(t.world.server, t.server); err == nil {
				defer listener.Close()
			}
		}
		if listener != nil {
			var c net.Conn
			if c, err = dialTCP(ctx, t.world.client, listener.Addr().String(), 500*time.Millisecond); err == nil {
				return c.Close()
			}
		}
		if time.Now().After(limit) || pause(ctx, 50*time.Millisecond) != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("%s carries nothing: %w%s", t.name, err, t.logs()))
		}
	}
}

// fault says that a program has ended.
func (t *tunnel) fault() error {
	for _, p := range t.programs {
		if err := p.Fault(); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

func (t *tunnel) logs() string {
	var all strings.Builder
	for _, p := range t.programs {
		fmt.Fprintf(&all, "\nthe %s: %s", p.Name(), p.Tail())
	}
	return all.String()
}

// startProgram starts an end of a tunnel, with its output in a file of folder.
func startProgram(ns netns.NsHandle, folder, name string, cmd *exec.Cmd) (*program.Program, error) {
	return program.Start(name, ns, cmd, nil, filepath.Join(folder, name+".log"))
}
