package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/program"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

// upPatience bounds the wait for the client to be up.
const upPatience = 15 * time.Second

// role is one program of the product in its machine: "client" or "server".
type role struct {
	name    string
	machine *space
	files   files
	mounts  []nsdo.Mount
	public  string // its key
	process *program.Program
}

// product is the client and the server of a run. It knows them from outside
// only: command line, configuration, signals, status.
type product struct {
	binary         string
	id             string
	sc             *scenario.Scenario
	client, server *role
	commands       []string // as they would be typed
}

// newProduct makes the keys and files of both ends in the run's folder. It
// starts nothing.
func newProduct(ctx context.Context, binary, folder string, t *topology, sc *scenario.Scenario) (*product, error) {
	p := &product{binary: binary, id: t.id, sc: sc}
	for _, r := range []struct {
		role    **role
		name    string
		machine *space
	}{{&p.client, "client", t.client}, {&p.server, "server", t.server}} {
		made, err := p.newRole(ctx, r.name, r.machine, filepath.Join(folder, r.name))
		if err != nil {
			return nil, fmt.Errorf("preparing the %s: %w", r.name, err)
		}
		*r.role = made
	}
	err := errors.Join(
		p.configure(p.server, serverKeys(sc, p.server.files, p.client.public)),
		p.configure(p.client, clientKeys(sc, p.client.files, p.server.public)))
	return p, err
}

func (p *product) newRole(ctx context.Context, name string, machine *space, folder string) (*role, error) {
	r := &role{name: name, machine: machine, files: files{folder}}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	var err error
	if r.mounts, err = privateFiles(folder, resolvConf(), hostsFile(families(p.sc.Underlay))); err != nil {
		return nil, err
	}
	r.public, err = program.Keygen(ctx, p.environment(), p.binary, r.files.key())
	return r, err
}

func (p *product) configure(r *role, keys map[string]any) error {
	text, err := renderTOML(keys)
	if err != nil {
		return err
	}
	return os.WriteFile(r.files.config(), text, 0o600)
}

// command runs the product for its output.
func (p *product) command(ctx context.Context, args ...string) ([]byte, error) {
	return program.Output(ctx, p.environment(), p.binary, args...)
}

func (p *product) environment() []string {
	return append(os.Environ(), runVariable+"="+p.id)
}

// start starts one end.
func (p *product) start(r *role) error {
	if r.process != nil && r.process.Running() {
		return fmt.Errorf("the %s is running already", r.name)
	}
	// Not CommandContext: it would kill without being noticed; stop does it.
	cmd := exec.Command(p.binary, r.name, "--config", r.files.config())
	cmd.Env = p.environment()
	process, err := program.Start(r.name, r.machine.ns, cmd, r.mounts, r.files.log())
	if err != nil {
		return err
	}
	r.process = process
	p.commands = append(p.commands, fmt.Sprintf("ip netns exec %s %s", r.machine.name, cmd.String()))
	return nil
}

// startAll starts the server and then the client, each until it says that it
// is up, and lets the links that it has come up with it. A client without any
// link is left to wait for one.
func (p *product) startAll(ctx context.Context, anyLink bool) error {
	if err := p.start(p.server); err != nil {
		return err
	}
	if err := p.waitUp(ctx, p.server, "up"); err != nil {
		return err
	}
	if err := p.start(p.client); err != nil {
		return err
	}
	if !anyLink {
		return p.waitUp(ctx, p.client, "")
	}
	if err := p.waitUp(ctx, p.client, "up"); err != nil {
		return err
	}
	return p.waitLinks(ctx)
}

// waitLinks waits until the links that the client uses are up, for
// scenario.ConnectLimit at most: a link of seconds of delay, or one whose
// network lets no datagram through, is part of what is measured.
func (p *product) waitLinks(ctx context.Context) error {
	_, err := p.poll(ctx, p.client, scenario.ConnectLimit, func(status map[string]any, err error) bool {
		return err == nil && allUp(status)
	})
	return err
}

// allUp says whether every link in a client's status is up.
func allUp(status map[string]any) bool {
	links, _ := status["links"].(map[string]any)
	for _, l := range links {
		if l, _ := l.(map[string]any); l["state"] != "up" {
			return false
		}
	}
	return true
}

// notUpError says that a program runs, but did not come up in time.
type notUpError string

func (e notUpError) Error() string { return string(e) }

// waitUp waits until one end says that it is in a state; "" is any.
func (p *product) waitUp(ctx context.Context, r *role, state string) error {
	last := "it did not answer"
	up, err := p.poll(ctx, r, upPatience, func(status map[string]any, err error) bool {
		if err == nil {
			last = fmt.Sprintf("its state is %v, reason: %v", status["state"], status["reason"])
		}
		return err == nil && (state == "" || status["state"] == state)
	})
	if err != nil || up {
		return err
	}
	return notUpError(fmt.Sprintf("the %s is not up after %v: %s\n%s", r.name, upPatience, last, r.process.Tail()))
}

// poll asks one end for its status until that is as wanted, for limit at most,
// and tells whether it was. The error is that of the end if it has ended.
func (p *product) poll(ctx context.Context, r *role, limit time.Duration, wanted func(map[string]any, error) bool) (bool, error) {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if !r.process.Running() {
			return false, r.process.Fault()
		}
		if wanted(p.status(ctx, r)) {
			return true, nil
		}
		if err := traffic.SleepUntil(ctx, time.Now().Add(50*time.Millisecond)); err != nil {
			return false, err
		}
	}
	return false, nil
}

// status asks one end what it is doing. Lists of things with names become maps
// by name, so that expectations can name them.
func (p *product) status(ctx context.Context, r *role) (map[string]any, error) {
	text, err := p.command(ctx, "status", "--json", "--socket", r.files.socket())
	if err != nil {
		return nil, err
	}
	var status map[string]any
	if err := json.Unmarshal(text, &status); err != nil {
		return nil, fmt.Errorf("status of the %s: %w", r.name, err)
	}
	named, _ := byName(status).(map[string]any)
	return named, nil
}

// byName replaces each list whose elements have names by a map.
func byName(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for key, value := range x {
			x[key] = byName(value)
		}
	case []any:
		named := map[string]any{}
		for i, value := range x {
			x[i] = byName(value)
			element, _ := x[i].(map[string]any)
			if name, ok := element["name"].(string); ok {
				named[name] = element
			}
		}
		if len(x) > 0 && len(named) == len(x) {
			return named
		}
	}
	return v
}

// reload gives the client a new configuration while it runs.
func (p *product) reload(over map[string]any) error {
	err := p.configure(p.client, clientKeys(p.sc, p.client.files, p.server.public, over))
	if err != nil {
		return err
	}
	return p.client.process.Signal(unix.SIGHUP)
}

// faults says which end broke by itself.
func (p *product) faults() []error {
	return p.each((*program.Program).Fault)
}

// stop ends both ends, the client first, and says who did not end well.
func (p *product) stop() []error {
	return p.each((*program.Program).Stop)
}

func (p *product) each(do func(*program.Program) error) []error {
	var errs []error
	for _, r := range []*role{p.client, p.server} {
		if r == nil || r.process == nil {
			continue
		}
		if err := do(r.process); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}
