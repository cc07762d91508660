package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// The D-Bus interface of systemd-resolved, org.freedesktop.resolve1(5).
const (
	resolvedName   = "org.freedesktop.resolve1"
	resolvedPath   = "/org/freedesktop/resolve1"
	resolvedPrefix = resolvedName + ".Manager."
	// resolvedNoLink is the error for an interface resolved does not know.
	resolvedNoLink = resolvedName + ".NoSuchLink"
)

// busWait bounds each call on the bus.
const busWait = 5 * time.Second

// busCaller is the part of a D-Bus connection that is used.
type busCaller interface {
	// HasOwner tells whether a service of that name runs.
	HasOwner(name string) (bool, error)
	// Call calls a method of systemd-resolved's manager.
	Call(method string, args ...any) error
	Close() error
}

// systemBus calls over the host's system bus.
type systemBus struct{ conn *dbus.Conn }

func dialSystemBus() (busCaller, error) {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, fmt.Errorf("hostnet: system bus: %w", err)
	}
	return systemBus{conn}, nil
}

func (b systemBus) HasOwner(name string) (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), busWait)
	defer cancel()
	var owned bool
	err := b.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, name).Store(&owned)
	return owned, err
}

func (b systemBus) Call(method string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), busWait)
	defer cancel()
	return b.conn.Object(resolvedName, resolvedPath).CallWithContext(ctx, resolvedPrefix+method, 0, args...).Err
}

func (b systemBus) Close() error { return b.conn.Close() }

// resolvedRuns tells whether systemd-resolved can be asked.
func (e *env) resolvedRuns() bool {
	bus, err := e.dialBus()
	if err != nil {
		return false
	}
	defer func() { _ = bus.Close() }()
	owned, err := bus.HasOwner(resolvedName)
	return err == nil && owned
}

// resolvedServer is the structure (iay) of SetLinkDNS.
type resolvedServer struct {
	Family  int32
	Address []byte
}

// resolvedDomain is the structure (sb) of SetLinkDomains.
type resolvedDomain struct {
	Name      string
	RouteOnly bool
}

// resolvedChange makes systemd-resolved ask the tunnel's name servers about
// everything. It forgets them by itself when the device goes.
type resolvedChange struct {
	TUN     string       `json:"tun"`
	Index   int          `json:"index"`
	Servers []netip.Addr `json:"servers"`
}

func (c *resolvedChange) kind() string   { return "resolved" }
func (c *resolvedChange) outlives() bool { return false }
func (c *resolvedChange) String() string { return "name servers of " + c.TUN + " in systemd-resolved" }

func (c *resolvedChange) prepare(e *env) (bool, error) {
	link, err := e.device(c.TUN)
	if err != nil {
		return false, err
	}
	c.Index = link.Attrs().Index
	return true, nil
}

func (c *resolvedChange) do(e *env) error {
	bus, err := e.dialBus()
	if err != nil {
		return err
	}
	defer func() { _ = bus.Close() }()
	index := int32(c.Index)
	var servers []resolvedServer
	for _, server := range c.Servers {
		family := int32(unix.AF_INET)
		if server.Is6() {
			family = unix.AF_INET6
		}
		servers = append(servers, resolvedServer{family, server.AsSlice()})
	}
	for _, call := range []struct {
		method string
		value  any
	}{
		{"SetLinkDNS", servers},
		{"SetLinkDomains", []resolvedDomain{{Name: ".", RouteOnly: true}}}, // resolvectl writes it "~."
		{"SetLinkDefaultRoute", true},
	} {
		if err := bus.Call(call.method, index, call.value); err != nil {
			return fmt.Errorf("hostnet: systemd-resolved %s on %s: %w", call.method, c.TUN, err)
		}
	}
	return nil
}

func (c *resolvedChange) undo(e *env) (outcome, error) {
	link, err := e.sameDevice(c.TUN, c.Index)
	if link == nil || err != nil {
		return gone, err
	}
	bus, err := e.dialBus()
	if err != nil {
		return gone, err
	}
	defer func() { _ = bus.Close() }()
	err = bus.Call("RevertLink", int32(c.Index))
	var answer dbus.Error
	if errors.As(err, &answer) && answer.Name == resolvedNoLink {
		return gone, nil
	}
	if err != nil {
		return gone, fmt.Errorf("hostnet: systemd-resolved RevertLink on %s: %w", c.TUN, err)
	}
	return undone, nil
}
