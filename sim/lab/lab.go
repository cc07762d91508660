// Package lab runs scenarios on this machine: it makes the network of
// namespaces that a scenario describes, starts the real client and server in
// it, runs traffic and timeline, and measures. The product is a black box:
// command line, configuration files, signals and status are all it uses of it.
//
// Nothing outside the namespaces is changed. Everything is removed at the end,
// also when the context is cancelled; what a killed run left, Sweep removes.
package lab

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// ErrMachine is wrapped by errors that say that this machine lacks something:
// rights, devices or parts of the kernel.
var ErrMachine = errors.New("this machine cannot run the testbed")

// Options say how to run a scenario.
type Options struct {
	// Impair is "auto", "netem" or "user"; "" is auto.
	Impair string
	// Seed takes the place of the scenario's.
	Seed *uint64
	// Binary is the path of the product. It is not needed where a scenario
	// has nothing to do with the tunnel.
	Binary string
	// PcapDir is an existing folder for captures; "" makes none.
	PcapDir string
	// Keep leaves everything up after the run until the context is cancelled,
	// and says in Log how to enter it.
	Keep bool
	// Log gets what the testbed does, line by line; nil is none.
	Log io.Writer
	// Progress is called, from any goroutine, when there is news; nil is not.
	Progress func(Progress)
}

// Progress says how far a run is.
type Progress struct {
	Scenario, Phase string
	// Elapsed and Total are times of the traffic; zero in other phases.
	Elapsed, Total time.Duration
	// Line is one line of news, such as an action of the timeline.
	Line string
	// Links are those of the scenario, in its order, while traffic runs.
	Links []LinkProgress
}

// LinkProgress is what a link has carried up to now, in bytes of IP packets.
type LinkProgress struct {
	Name     string
	Up, Down uint64
}

// newNames makes names that no other run has.
func newNames() names { return names{fmt.Sprintf("%08x", rand.Uint32())} }

// checkMachine refuses what cannot work for a reason that is known beforehand.
func checkMachine(needTUN bool) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: not root: namespaces and interfaces need it (run it with sudo)", ErrMachine)
	}
	if !needTUN {
		return nil
	}
	switch err := openTUN(); {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: %s: %w (in a container: docker run --device %[2]s)", ErrMachine, tunDevice, err)
	case err != nil:
		return fmt.Errorf("%w: %s: %w (load it with: modprobe tun)", ErrMachine, tunDevice, err)
	}
	return nil
}

const tunDevice = "/dev/net/tun"

// openTUN tries whether this process may open the device that makes tunnels.
func openTUN() error {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// needsProduct says whether a scenario has anything to do with the tunnel.
func needsProduct(sc *scenario.Scenario) bool {
	if len(sc.Traffic) == 0 || len(sc.Client) > 0 || len(sc.Server) > 0 {
		return true
	}
	for _, t := range sc.Traffic {
		if t.Via.Kind == "tunnel" {
			return true
		}
	}
	for _, a := range sc.Timeline {
		if strings.HasSuffix(a.Do, "-client") || strings.HasSuffix(a.Do, "-server") {
			return true
		}
	}
	for _, e := range sc.Expect {
		if strings.Contains(e.Expr, "client.") || strings.Contains(e.Expr, "server.") {
			return true
		}
	}
	return false
}
