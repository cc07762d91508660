package hostnet

import (
	"encoding/json"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A change is one thing done to the host. Its exported fields are what the
// journal keeps, all that undo needs.
type change interface {
	kind() string // its name in the journal
	// prepare looks at what is there and notes it. It reports false when the
	// host is already as wanted and nothing needs to be undone later.
	prepare(*env) (needed bool, err error)
	do(*env) error
	undo(*env) (outcome, error)
	// outlives tells whether the change remains when the network namespace
	// it was made in has gone.
	outlives() bool
	// String says what was changed, for people.
	String() string
}

// outcome is what undo found.
type outcome struct {
	done bool   // something was put back
	kept string // why something was left as it is
}

var (
	undone = outcome{done: true}
	gone   = outcome{} // nothing was left to undo
)

func kept(format string, args ...any) outcome {
	return outcome{kept: fmt.Sprintf(format, args...)}
}

// kinds makes an empty change of each kind, by its name in the journal.
var kinds = map[string]func() change{
	(*tunChange)(nil).kind():        func() change { return new(tunChange) },
	(*addressChange)(nil).kind():    func() change { return new(addressChange) },
	(*routeChange)(nil).kind():      func() change { return new(routeChange) },
	(*ruleChange)(nil).kind():       func() change { return new(ruleChange) },
	(*nftChange)(nil).kind():        func() change { return new(nftChange) },
	(*sysctlChange)(nil).kind():     func() change { return new(sysctlChange) },
	(*forwardingChange)(nil).kind(): func() change { return new(forwardingChange) },
	(*resolvedChange)(nil).kind():   func() change { return new(resolvedChange) },
	(*resolvconfChange)(nil).kind(): func() change { return new(resolvconfChange) },
	(*fileChange)(nil).kind():       func() change { return new(fileChange) },
}

// line is one line of a journal: the owner in the first, a change in each
// of the others.
type line struct {
	Owner  *owner          `json:"owner,omitempty"`
	Kind   string          `json:"kind,omitempty"`
	Change json.RawMessage `json:"change,omitempty"`
}

func encodeChange(c change) ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	return json.Marshal(line{Kind: c.kind(), Change: data})
}

func decodeChange(l line) (change, error) {
	create, ok := kinds[l.Kind]
	if !ok {
		return nil, fmt.Errorf("unknown kind of change %q", l.Kind)
	}
	c := create()
	if err := json.Unmarshal(l.Change, c); err != nil {
		return nil, fmt.Errorf("%s: %w", l.Kind, err)
	}
	return c, nil
}

// env is where changes are made: the kernel's interfaces, the state directory
// and the places that tests replace.
type env struct {
	owner      owner
	stateDir   string
	nl         *netlink.Handle
	sysctlDir  string // /proc/sys
	dialBus    func() (busCaller, error)
	resolvconf string // the program; empty when there is none
	warnings   []string
}

// newEnv opens the interfaces in the calling thread's network namespace.
func newEnv(stateDir, tun string) (*env, error) {
	me, err := self(tun)
	if err != nil {
		return nil, err
	}
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("hostnet: netlink: %w", err)
	}
	return &env{
		owner: me, stateDir: stateDir, nl: nl,
		sysctlDir: "/proc/sys", dialBus: dialSystemBus, resolvconf: findResolvconf(),
	}, nil
}

func (e *env) close() { e.nl.Close() }

// warn notes what could not be done but need not stop the tunnel.
func (e *env) warn(format string, args ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
}
