package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// stopPatience is how long a program gets to end after TERM.
const stopPatience = 5 * time.Second

// process is a program that runs in a namespace, with its output in a file.
type process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended

	mu    sync.Mutex
	asked bool  // we ended it
	err   error // how it ended
}

// startProcess starts a program inside a machine. Its output is added to the
// file log.
func startProcess(name string, in *space, cmd *exec.Cmd, mounts []nsdo.Mount, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	// A group of its own: ctrl-C at the terminal is for the testbed alone.
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	if err := nsdo.Start(in.ns, cmd, mounts); err != nil {
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

// running says whether it has not ended.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal sends a signal; one that ends it is expected to.
func (p *process) signal(sig unix.Signal) error {
	p.mu.Lock()
	p.asked = p.asked || sig == unix.SIGKILL || sig == unix.SIGTERM
	p.mu.Unlock()
	if !p.running() {
		return fmt.Errorf("the %s is not running", p.name)
	}
	return p.cmd.Process.Signal(sig)
}

// kill ends it at once, as kill -9 does, and waits until it is gone.
func (p *process) kill() error {
	err := p.signal(unix.SIGKILL)
	<-p.done
	return err
}

// stop asks it to end, then makes it. The error says that it had to, or that
// it ended other than well.
func (p *process) stop() error {
	if !p.running() {
		return nil
	}
	// One that is suspended hears TERM when it goes on.
	if err := errors.Join(p.signal(unix.SIGTERM), p.signal(unix.SIGCONT)); err != nil && p.running() {
		return errors.Join(err, p.kill())
	}
	select {
	case <-p.done:
	case <-time.After(stopPatience):
		_ = p.kill()
		return fmt.Errorf("the %s did not end within %v of TERM and was killed\n%s", p.name, stopPatience, p.tail())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return fmt.Errorf("the %s, told to end, ended with %w\n%s", p.name, p.err, p.tail())
	}
	return nil
}

// fault says that it ended without being asked to.
func (p *process) fault() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() || p.asked {
		return nil
	}
	how := "ended by itself"
	if p.err != nil {
		how += ": " + p.err.Error()
	}
	return fmt.Errorf("the %s %s\n%s", p.name, how, p.tail())
}

// tailLines is how much of a log a message shows.
const tailLines = 15

// tail returns the last lines of the output, for a message.
func (p *process) tail() string {
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
