package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// Bounds of connecting.
const (
	resolveTimeout = 3 * time.Second
	connectTimeout = 5 * time.Second // for each answer of the server, see answered
	maxAddresses   = 4               // of the server, to try in a row
	// answersToConnect is how many answers of the server are waited for one after
	// the other: to the TCP SYN, to the ClientHello, to the Hello.
	answersToConnect = 3
)

// wanted is the session that a link is to be part of.
type wanted struct {
	session control.SessionRef // the zero one: a new session
	// turn, of room for one, is what links share that try to open a session at
	// once: one at a time says hello, and the one that was welcomed keeps it.
	turn chan struct{}
}

// connect makes the link's control connection and socket.
func (l *clientLink) connect(ctx context.Context, want wanted) (*connection, error) {
	c := l.client
	c.mu.Lock()
	ifc, cfg := l.ifc, c.cfg
	policy, _ := c.policy(l.name)
	c.mu.Unlock()

	base := underlay.Options{Device: l.name, Mark: cfg.Routes.Mark, Mode: underlay.Mode(cfg.Underlay.Mode)}
	limited, cancel := context.WithTimeout(ctx, resolveTimeout)
	addresses, err := c.resolver.addresses(limited, base)
	cancel()
	if err != nil {
		return nil, err
	}
	targets := reachable(addresses, ifc, cfg.Underlay.Family)
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s has no address of the family of the server's: %v", l.name, addresses)
	}
	for _, t := range targets {
		o := base
		o.Listen = netip.AddrPortFrom(t.local, 0)
		o.Remote = netip.AddrPortFrom(t.server, cfg.Server.Port)
		var conn *connection
		if conn, err = l.connectTo(ctx, o, cfg, policy, want); err == nil {
			c.counters.connects.Add(1)
			c.resolver.answered(t.server)
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, err
}

// answered does a step of connecting that ends with an answer of the server: a
// connection, the end of the TLS handshake, the Welcome. Each has
// connectTimeout, so that a link with a round trip of seconds connects.
func answered(ctx context.Context, server netip.AddrPort, step func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout,
		fmt.Errorf("no answer from the server at %v within %v", server, connectTimeout))
	defer cancel()
	if err := step(ctx); err != nil {
		return causeOf(ctx, err)
	}
	return nil
}

// connectTo connects to one address of the server.
func (l *clientLink) connectTo(ctx context.Context, o underlay.Options, cfg *config.Client, policy config.LinkPolicy, want wanted) (n *connection, err error) {
	began := time.Now()
	var nc net.Conn
	err = answered(ctx, o.Remote, func(ctx context.Context) (err error) {
		nc, err = l.client.deps.dialTCP(ctx, o)
		return err
	})
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("no server listens on TCP %v (%w)", o.Remote, syscall.ECONNREFUSED)
	}
	if err != nil {
		return nil, err
	}
	var conn *control.Conn
	err = answered(ctx, o.Remote, func(ctx context.Context) (err error) {
		conn, err = control.Client(ctx, nc, cfg.PrivateKey, cfg.ServerKey)
		return err
	})
	if err != nil {
		return nil, err
	}
	hello := control.Hello{
		Version: control.Version, Software: "multilink " + l.client.opts.Version,
		LinkID: l.id, LinkName: l.name, Session: want.session, ReceiverIndex: newIndex(),
		Suites: seal.Names(seal.Preferred(l.client.deps.hasAES())), Strategy: cfg.Strategy, MTU: cfg.TUN.MTU, Rules: receiving(policy),
	}
	var welcome control.Welcome
	holds := false // the turn
	defer func() {
		if err != nil {
			conn.Close()
			if holds {
				<-want.turn
			}
		}
	}()
	err = answered(ctx, o.Remote, func(ctx context.Context) (err error) {
		if holds, err = want.wait(ctx); err == nil {
			welcome, err = conn.Open(ctx, hello)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	n = &connection{
		tcp: nc, control: conn, asked: cfg.Strategy, policy: limits(policy), welcome: welcome, local: o.Listen.Addr(),
		since: time.Now(), took: time.Since(began),
	}
	if err = n.complete(l, o, hello.ReceiverIndex); err != nil {
		return nil, err
	}
	return n, nil
}

// wait waits for the turn and says whether there is one to give back.
func (w wanted) wait(ctx context.Context) (holds bool, err error) {
	if w.turn == nil {
		return false, nil
	}
	select {
	case w.turn <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// complete derives the keys and opens the socket.
func (n *connection) complete(l *clientLink, o underlay.Options, index uint32) error {
	suite, err := seal.ParseSuite(n.welcome.Suite)
	if err != nil {
		return err
	}
	n.suite = suite
	n.keys, err = seal.Derive(n.control.Export, seal.Binding{
		Suite: suite, Link: l.id, ClientIndex: index, ServerIndex: n.welcome.ReceiverIndex,
	})
	if err != nil {
		return err
	}
	n.server = netip.AddrPortFrom(o.Remote.Addr(), n.welcome.UDPPort)
	o.Remote = n.server
	n.udp, err = l.client.deps.openUDP(o)
	return err
}

// causeOf prefers to say that it took too long over what broke by that.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// target is a way to the server.
type target struct{ local, server netip.Addr }

// reachable returns the server's addresses that are of a family in which the
// interface has an address, with that address; those first to which it has a
// route.
func reachable(servers []netip.Addr, ifc netmon.Interface, family string) []target {
	var routed, others []target
	for _, a := range servers {
		own, hasRoute, wanted := ifc.Addrs6, ifc.HasRoute6, family != config.Family4
		if a.Is4() {
			own, hasRoute, wanted = ifc.Addrs4, ifc.HasRoute4, family != config.Family6
		}
		switch {
		case !wanted || len(own) == 0:
		case hasRoute:
			routed = append(routed, target{local: own[0], server: a})
		default:
			others = append(others, target{local: own[0], server: a})
		}
	}
	list := append(routed, others...)
	return list[:min(len(list), maxAddresses)]
}
