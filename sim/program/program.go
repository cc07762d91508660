// Package program runs the programs under test: those that stay inside a network
// namespace, with their output in a file, and those that end by themselves.
package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// stopPatience is how long a program gets to end after TERM, and after KILL.
const stopPatience = 5 * time.Second

// Program runs in a namespace, with its output in a file.
type Program struct {
	name string // in messages
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended

	mu    sync.Mutex
	asked bool  // we ended it
	err   error // how it ended
}

// Start starts a program inside a namespace, where the mounts hold. Its output is
// added to the file log. The name is what messages call it.
func Start(name string, ns netns.NsHandle, cmd *exec.Cmd, mounts []nsdo.Mount, log string) (*Program, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: ctrl-C at the terminal is for the testbed alone.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	p := &Program{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	if err := nsdo.Start(ns, cmd, mounts); err != nil {
		return nil, fmt.Errorf("starting the %s: %w", name, err)
	}
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}

// Name is what messages call it.
func (p *Program) Name() string { return p.name }

// Done is closed when it has ended.
func (p *Program) Done() <-chan struct{} { return p.done }

// Running says whether it has not ended.
func (p *Program) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal; one that ends it is expected to.
func (p *Program) Signal(sig unix.Signal) error {
	p.mu.Lock()
	p.asked = p.asked || sig == unix.SIGKILL || sig == unix.SIGTERM
	p.mu.Unlock()
	if !p.Running() {
		return fmt.Errorf("the %s is not running", p.name)
	}
	return p.cmd.Process.Signal(sig)
}

// Kill ends it at once, as kill -9 does, and waits until it is gone.
func (p *Program) Kill() error {
	err := p.Signal(unix.SIGKILL)
	if !p.ends() {
		err = errors.Join(err, fmt.Errorf("the %s did not end within %v of KILL", p.name, stopPatience))
	}
	return err
}

// ends waits for its end, for stopPatience at most, and says whether it came.
func (p *Program) ends() bool {
	select {
	case <-p.done:
		return true
	case <-time.After(stopPatience):
		return false
	}
}

// Stop asks it to end, then makes it. The error says that it had to, or that
// it ended other than well.
func (p *Program) Stop() error {
	if !p.Running() {
		return nil
	}
	// One that is suspended hears TERM when it goes on.
	if err := errors.Join(p.Signal(unix.SIGTERM), p.Signal(unix.SIGCONT)); err != nil && p.Running() {
		return errors.Join(err, p.Kill())
	}
	if !p.ends() {
		killed := p.Kill()
		return errors.Join(fmt.Errorf("the %s did not end within %v of TERM and was killed\n%s", p.name, stopPatience, p.Tail()), killed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("the %s, told to end, ended with %w\n%s", p.name, p.err, p.Tail())
	}
	return nil
}

// ProcessorTime is what it has used so far, 0 once it has ended.
func (p *Program) ProcessorTime() time.Duration {
	used, _ := nsdo.ProcessorTime(p.cmd.Process.Pid)
	return used
}

// Fault says that it ended without being asked to.
func (p *Program) Fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Running() || p.asked {
		return nil
	}
	how := "ended by itself"
	if p.err != nil {
		how += ": " + p.err.Error()
	}
	return fmt.Errorf("the %s %s\n%s", p.name, how, p.Tail())
}

// tailLines is how much of a log a message shows.
const tailLines = 15

// Tail returns the last lines of the output, for a message.
func (p *Program) Tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil || len(text) == 0 {
		return "(it printed nothing)"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return "its last output:\n  " + strings.Join(lines, "\n  ")
}
