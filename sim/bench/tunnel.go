package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// tunnel is a way between the two machines: what is loaded.
type tunnel struct {
	name           string
	world          *world
	client, server netip.Addr // of the machines, inside it
	programs       []*program // none: the bare cable
	sockets        []string   // where the product's programs tell their status
	cleanUp        func()
}

// close ends the tunnel's programs.
func (t *tunnel) close() {
	for _, p := range t.programs {
		p.stop()
	}
	if t.cleanUp != nil {
		t.cleanUp()
	}
}

// cpu is the processor time that the tunnel's programs have used, in seconds.
func (t *tunnel) cpu() float64 {
	sum := 0.0
	for _, p := range t.programs {
		sum += p.cpu()
	}
	return sum
}

// Limits of waiting for programs.
const (
	upPatience   = 20 * time.Second
	stopPatience = 5 * time.Second
)

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
			if c, err = dialTCP(t.world.client, listener.Addr().String(), 500*time.Millisecond); err == nil {
				return c.Close()
			}
		}
		if time.Now().After(limit) || ctx.Err() != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("%s carries nothing: %w%s", t.name, err, t.logs()))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// fault says that a program has ended.
func (t *tunnel) fault() error {
	for _, p := range t.programs {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s%s", t.name, p.cmd.String(), p.tail())
		default:
		}
	}
	return nil
}

func (t *tunnel) logs() string {
	var all strings.Builder
	for _, p := range t.programs {
		all.WriteString(p.tail())
	}
	return all.String()
}

// program is one running end of a tunnel.
type program struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
}

// start starts a program in a namespace, with its output in a file of folder.
func start(ns netns.NsHandle, folder, name string, cmd *exec.Cmd) (*program, error) {
	p := &program{cmd: cmd, log: filepath.Join(folder, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // ctrl-C is for us alone
	if err := nsdo.Start(ns, cmd, nil); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// stop asks the program to end, then makes it.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// clockTicks is the unit of /proc/PID/stat, USER_HZ: 100 on all of Linux's
// architectures that Go knows.
const clockTicks = 100

// cpu reads the program's processor time, user and system, in seconds; 0 once
// it has ended.
func (p *program) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// proc_pid_stat(5): utime and stime are the fields 14 and 15; the name in
	// field 2 may hold anything.
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / clockTicks
}

// tailBytes is how much of a log a message shows.
const tailBytes = 2000

func (p *program) tail() string {
	text, _ := os.ReadFile(p.log)
	if len(text) > tailBytes {
		text = text[len(text)-tailBytes:]
	}
	return fmt.Sprintf("\n%s:\n%s", filepath.Base(p.log), strings.TrimSpace(string(text)))
}
