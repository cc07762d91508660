package engine

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/hostnet"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/tun"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// host is what the engine needs of package hostnet.
type host interface {
	Guard(hostnet.ClientPlan) error
	ApplyClient(hostnet.ClientPlan) error
	Withdraw() error
	ApplyServer(hostnet.ServerPlan) error
	LimitMTU(addr netip.Addr, mtu int) error
	UnlimitMTU(addr netip.Addr) error
	SetLinks([]string) error
	Recovered() []hostnet.Removed
	Warnings() []string
	Undo() error
}

// monitor is what the client needs of package netmon.
type monitor interface {
	C() <-chan []netmon.Interface
	Close()
}

// serverDeps is where the server touches the machine; tests put other things
// there.
type serverDeps struct {
	check     func() error
	openHost  func(stateDir, tun string) (host, error)
	openTUN   func(tun.Options) (tun.Device, error)
	listenTCP func(netip.AddrPort) (net.Listener, error)
	openUDP   func(o underlay.Options, n int) ([]underlay.Conn, error)
	timeOfDay func() time.Time // which may be set at any moment
	hasAES    func() bool      // this processor has the instructions
}

func realServer() serverDeps {
	return serverDeps{
		check:     func() error { return CheckRights(roleServer) },
		openHost:  openRealHost,
		openTUN:   tun.Open,
		listenTCP: underlay.ListenTCP,
		openUDP:   underlay.OpenGroup,
		timeOfDay: time.Now,
		hasAES:    seal.HasAES,
	}
}

// clientDeps is the same for the client.
type clientDeps struct {
	check      func() error
	openHost   func(stateDir, tun string) (host, error)
	openTUN    func(tun.Options) (tun.Device, error)
	newMonitor func(*slog.Logger) (monitor, error)
	dialTCP    func(context.Context, underlay.Options) (net.Conn, error)
	openUDP    func(underlay.Options) (underlay.Conn, error)
	lookup     lookupFunc
	timeOfDay  func() time.Time // which may be set at any moment
	hasAES     func() bool      // this processor has the instructions
}

func openRealHost(stateDir, tun string) (host, error) {
	h, err := hostnet.Open(stateDir, tun)
	if err != nil {
		return nil, err // not a host of type *hostnet.Host that is nil
	}
	return h, nil
}

// plan is what the server needs of its host.
func (s *Server) plan() hostnet.ServerPlan {
	p := hostnet.ServerPlan{TUN: s.device.Name(), MTU: s.cfg.TUN.MTU, Uplink: s.cfg.Uplink}
	for i, pool := range []netip.Prefix{s.pools.v4, s.pools.v6} {
		if !pool.IsValid() {
			continue
		}
		p.Addresses = append(p.Addresses, s.gateway[i])
		if s.cfg.Masquerade {
			p.Masquerade = append(p.Masquerade, pool.Masked())
		}
	}
	return p
}

// hostPlan is what decides whether the host has to be configured anew.
type hostPlan struct {
	addresses []netip.Prefix
	mtu       int
	dns       []netip.Addr
}

func (p *hostPlan) equal(q *hostPlan) bool {
	return p != nil && q != nil && p.mtu == q.mtu && slices.Equal(p.addresses, q.addresses) && slices.Equal(p.dns, q.dns)
}

// openHost claims the tunnel's name on this host, cleans up after a crash, and
// lets nothing past the tunnel from now on if there is a kill switch.
func (c *Client) openHost() error {
	cfg := c.config()
	h, err := c.deps.openHost(cfg.StateDir, cfg.TUN.Name)
	if err != nil {
		return explainHost(err)
	}
	for _, r := range h.Recovered() {
		c.log.Info("cleaned up after a crash", "what", r.String())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.host = h
	if !cfg.KillSwitch {
		return nil
	}
	err = h.Guard(hostnet.ClientPlan{TUN: cfg.TUN.Name, Mark: cfg.Routes.Mark, Exclude: cfg.Routes.Exclude, KillSwitch: true})
	return explainHost(err)
}

// undoHost puts the host back as it was.
func (c *Client) undoHost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.host == nil {
		return nil
	}
	h := c.host
	c.host = nil
	return h.Undo()
}

// configureHost gives the host the session's addresses and directs its traffic
// into the tunnel, unless it is so already.
func (c *Client) configureHost(s *clientSession, w control.Welcome) error {
	want := &hostPlan{mtu: s.mtu}
	for _, a := range s.address {
		if a.IsValid() {
			want.addresses = append(want.addresses, a)
		}
	}
	if own := c.config().DNS; own.Mode != config.DNSOff {
		if want.dns = own.Servers; len(want.dns) == 0 {
			want.dns = w.DNS
		}
	}
	c.mu.Lock()
	current := c.plan
	c.mu.Unlock()
	if current.equal(want) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if current != nil {
		c.log.Info("the server gave other addresses: configuring this host again", "addresses", addressTexts(s.address[:]))
		c.plan = nil
		if err := c.host.Withdraw(); err != nil {
			return err
		}
	}
	if err := c.host.ApplyClient(c.clientPlan(want)); err != nil {
		return explainHost(err)
	}
	c.plan = want
	c.warnings = c.host.Warnings()
	for _, text := range c.warnings {
		c.log.Warn(text)
	}
	return nil
}

func (c *Client) clientPlan(want *hostPlan) hostnet.ClientPlan {
	r := c.cfg.Routes
	return hostnet.ClientPlan{
		TUN: c.device.Name(), Addresses: want.addresses, MTU: want.mtu,
		Mark: r.Mark, Table: r.Table, Priority: hostnet.DefaultPriority,
		Default: r.Default, Include: r.Include, Exclude: r.Exclude,
		KillSwitch: c.cfg.KillSwitch, DNS: want.dns, Links: c.hostLinks(),
	}
}

// hostLinks are the interfaces that carry links, and those that could: nothing
// may pass a kill switch by them either. With the lock held.
func (c *Client) hostLinks() []string { return interfaceNames(slices.Concat(c.usable, c.off)) }

// setHostLinks tells the host which interfaces carry links.
func (c *Client) setHostLinks() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.host == nil || c.plan == nil && !c.cfg.KillSwitch {
		return
	}
	if err := c.host.SetLinks(c.hostLinks()); err != nil {
		c.log.Warn("cannot prepare an interface for its link", "error", err)
	}
}

func interfaceNames(list []netmon.Interface) []string {
	names := make([]string, len(list))
	for i, ifc := range list {
		names[i] = ifc.Name
	}
	return names
}

func realClient() clientDeps {
	return clientDeps{
		check:      func() error { return CheckRights(roleClient) },
		openHost:   openRealHost,
		openTUN:    tun.Open,
		newMonitor: openRealMonitor,
		dialTCP:    underlay.DialTCP,
		openUDP:    underlay.Open,
		lookup:     hostLookup(),
		timeOfDay:  time.Now,
		hasAES:     seal.HasAES,
	}
}

func openRealMonitor(log *slog.Logger) (monitor, error) {
	m, err := netmon.New(netmon.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return m, nil
}
