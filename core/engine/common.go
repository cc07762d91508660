package engine

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/hostnet"
	"github.com/multilink-vpn/multilink/core/tun"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// Times of a control connection.
const (
	pingEvery = 5 * time.Second
	deadAfter = 15 * time.Second // without a message from the other end
	// byeTimeout bounds the wait for a goodbye to leave.
	byeTimeout = time.Second
)

// Words of a LinkStatus.
const (
	controlUp         = "up"
	controlConnecting = "connecting"
	controlDown       = "down"
	linkDown          = "down"
)

// ErrMachine is in every error that says what this machine lacks: rights, or
// the TUN device.
var ErrMachine = errors.New("this machine cannot run it")

// machineError is an error about the machine in a user's words.
type machineError struct{ text string }

func (e *machineError) Error() string        { return e.text }
func (e *machineError) Is(target error) bool { return target == ErrMachine }

// Options are what a client or server is given by the program it runs in.
type Options struct {
	Version string
	Log     *slog.Logger
	// Ready, when set, is called once, when everything is set up.
	Ready func()
	// State, when set, is told in a few words what is going on whenever that
	// changes.
	State func(string)
}

func (o Options) ready() {
	if o.Ready != nil {
		o.Ready()
	}
}

func (o Options) state(text string) {
	if o.State != nil {
		o.State(text)
	}
}

// undoList undoes steps, the last first.
type undoList struct{ steps []func() error }

func (u *undoList) add(step func() error) { u.steps = append(u.steps, step) }

func (u *undoList) run() error {
	var errs []error
	for i := len(u.steps) - 1; i >= 0; i-- {
		errs = append(errs, u.steps[i]())
	}
	return errors.Join(errs...)
}

// ignoreClosed makes a second Close no error.
func ignoreClosed(f func() error) func() error {
	return func() error {
		if err := f(); err != nil && !isClosed(err) {
			return err
		}
		return nil
	}
}

func isClosed(err error) bool {
	return errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed)
}

// CheckRights says what a command needs to change this host's network.
func CheckRights(command string) error {
	if err := hostnet.Available(); errors.Is(err, hostnet.ErrPrivilege) {
		return &machineError{fmt.Sprintf("multilink %s needs root (or CAP_NET_ADMIN): run it with sudo", command)}
	} else if err != nil {
		return err
	}
	return nil
}

// explainTUN marks errors that are about the machine.
func explainTUN(err error) error {
	if errors.Is(err, tun.ErrNoTUN) || errors.Is(err, tun.ErrPermission) {
		return &machineError{err.Error()}
	}
	return err
}

// explainHost says what can be done about a name that is in use.
func explainHost(err error) error {
	if errors.Is(err, hostnet.ErrBusy) {
		return fmt.Errorf("%w: give this one another name ([tun] name)", err)
	}
	return err
}

// explainListen says what can be done about a port that is in use.
func explainListen(protocol string, at netip.AddrPort, err error) error {
	if errors.Is(err, underlay.ErrInUse) {
		option := "-lntp"
		if protocol == "UDP" {
			option = "-lnup"
		}
		return fmt.Errorf("%s port %d is in use by another program: end that one ('ss %s sport = :%d' shows it) or set another port (listen)",
			protocol, at.Port(), option, at.Port())
	}
	return fmt.Errorf("listen on %s %v: %w", protocol, at, err)
}

// endConn says goodbye and closes a connection, soon in any case.
func endConn(conn *control.Conn, why control.Goodbye) {
	timer := time.AfterFunc(byeTimeout, func() { conn.Close() })
	defer timer.Stop()
	_ = conn.Send(why)
	_ = conn.Close()
}

// describeEnd says in a few words why a control connection has ended.
func describeEnd(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return "goodbye"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the other end closed the connection"
	case errors.Is(err, net.ErrClosed):
		return "closed here"
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer for %v", deadAfter)
	}
	return err.Error()
}
