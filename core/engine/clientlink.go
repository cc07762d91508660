package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// When a link renews its keys.
const (
	rekeyEvery = time.Hour
	rekeyRetry = time.Minute
)

// clientLink is the link over one interface, for as long as that exists. Its
// states:
//
//	down --run--> connecting --welcome--> up
//	                  ^  \--error, pause--/ |
//	                  \-----lost, pause----/
type clientLink struct {
	client *Client
	name   string // of the interface
	id     core.LinkID
	kick   chan struct{} // holds one: try again now

	// Guarded by the client's lock.
	ifc       netmon.Interface
	running   bool
	control   string // controlUp, controlConnecting or controlDown
	since     time.Time
	conn      *connection // while up
	err       error       // the last one
	permanent bool        // err does not go away by waiting
}

// run keeps the link connected until ctx ends or the session is over. It
// begins with conn, if that is not nil.
func (l *clientLink) run(ctx context.Context, s *clientSession, conn *connection) {
	defer l.set(controlDown, nil)
	for tries := 0; ctx.Err() == nil; tries++ {
		began := time.Now()
		var err error
		if conn == nil {
			if s.expired(l.client.config().Grace) {
				s.end(l.name)
				return
			}
			l.set(controlConnecting, nil)
			conn, err = l.join(ctx, s)
		}
		if conn != nil {
			began = time.Now()
			err = l.carry(ctx, s, conn)
			conn = nil
			if time.Since(began) > steadyAfter {
				tries = 0
			}
			began = time.Now()
		}
		if ctx.Err() != nil || l.client.ending.Load() || s.isOver() {
			return
		}
		l.failed(err)
		if poked := pause(ctx, backoff(tries, err), time.Since(began), l.kick); poked {
			tries = -1 // what is wrong now is something else
		}
	}
}

// join connects to the session. That the server does not know it any more is
// the end of the session.
func (l *clientLink) join(ctx context.Context, s *clientSession) (*connection, error) {
	conn, err := l.connect(ctx, wanted{session: s.ref})
	if hasCode(err, control.CodeBadSession) {
		l.client.log.Info("session ended", "link", l.name, "reason", err)
		s.end(l.name)
	}
	return conn, err
}

// carry uses a connection, and those that replace it, until one fails.
func (l *clientLink) carry(ctx context.Context, s *clientSession, conn *connection) error {
	s.linkUp()
	defer s.linkDown()
	for {
		next, err := l.hold(ctx, s, conn)
		if next == nil {
			s.driver.RemoveLink(l.id)
			s.tellGone(l, conn)
			return err
		}
		conn = next
	}
}

// tellGone tells the server over the other links that the one of conn is gone: its
// own connection may well say nothing, as where the interface has vanished. It goes
// over all of them, with those that went before, for others may fail at the same time.
func (s *clientSession) tellGone(l *clientLink, conn *connection) {
	c := s.client
	if c.ending.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.gone = append(s.gone, conn.welcome.ReceiverIndex)
	s.gone = s.gone[max(0, len(s.gone)-control.MaxLinksGone):]
	for _, other := range c.links {
		if other != l && other.conn != nil {
			other.conn.control.Post(control.LinksGone{Receivers: slices.Clone(s.gone)})
		}
	}
}

// hold uses one connection until it fails, or has been replaced by next.
func (l *clientLink) hold(ctx context.Context, s *clientSession, conn *connection) (next *connection, err error) {
	broken, lost := make(chan error, 1), make(chan error, 1)
	report := func(err error) {
		select {
		case broken <- err:
		default: // one reason is enough
		}
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer conn.close()
	if err := s.driver.AddLink(conn.config(l), &carrier{conn.udp, conn.control, &l.client.counters.streamFull}, report); err != nil {
		return nil, err
	}
	l.set(controlUp, conn)
	s.settle(conn.welcome.Strategy)
	s.askQoS()
	readers.Go(func() { report(l.readDatagrams(s, conn)) })
	readers.Go(func() { lost <- l.readMessages(s, conn) })

	pulse := newPulse(conn.took)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	rekey := time.NewTimer(rekeyEvery)
	defer rekey.Stop()
	for {
		select {
		case err := <-broken:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-lost:
			return l.replace(ctx, s, conn, err)
		case <-look.C:
			due, err := l.check(s, conn, pulse)
			if err != nil {
				return l.replace(ctx, s, conn, err)
			}
			if !due {
				continue
			}
		case <-rekey.C:
		}
		if next, err := l.join(ctx, s); err == nil {
			return next, nil
		}
		rekey.Reset(rekeyRetry) // the old keys are still good
	}
}

// check asks the server whether it is there when that is due, and says whether
// the connection is due to be replaced: nobody answers, or its keys have sealed
// enough.
func (l *clientLink) check(s *clientSession, conn *connection, pulse *pulse) (due bool, err error) {
	ping, dead := pulse.next(time.Now(), conn.heard(), s.driver.Overdue(l.id))
	if ping {
		if err := conn.control.Send(control.Ping{ID: pulse.id}); err != nil {
			return false, err
		}
	}
	n := conn.udp.Counters()
	return dead || max(n.WriteDatagrams, n.ReadDatagrams) >= conn.suite.SealLimit()/2, nil
}

// replace makes another control connection when one was lost. The datagrams may
// well go on: a NAT that forgets its mappings resets connections. So the link
// is kept until it is known whether the server still answers.
func (l *clientLink) replace(ctx context.Context, s *clientSession, conn *connection, lost error) (*connection, error) {
	if errors.Is(lost, errGoodbye) || time.Since(conn.since) < replaceAfter {
		return nil, lost
	}
	limited, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	next, err := l.join(limited, s)
	if err != nil {
		l.client.log.Debug("control connection not replaced", "link", l.name, "lost", lost, "error", err)
		return nil, lost
	}
	l.client.log.Info("control connection replaced", "link", l.name, "lost", lost)
	return next, nil
}

// readDatagrams takes what comes in over UDP to the session.
func (l *clientLink) readDatagrams(s *clientSession, conn *connection) error {
	var batch underlay.Batch
	for {
		if err := conn.udp.Read(&batch); err != nil {
			return err
		}
		s.driver.HandleDatagrams(l.id, batch.Datagrams)
	}
}

// readMessages does what the server says until the connection ends.
func (l *clientLink) readMessages(s *clientSession, conn *connection) error {
	s.driver.receiveFrom(conn.control, l.id)
	conn.control.SetIdleTimeout(deadAfter)
	for {
		m, err := conn.control.Receive()
		if err != nil {
			return errors.New(describeEnd(err))
		}
		conn.lastHeard.Store(int64(time.Since(conn.since)))
		switch m := m.(type) {
		case control.Pong:
		case control.Reconfigure:
			err = s.adopt(m.Strategy)
		case control.QoS:
			s.answeredQoS(m)
		case control.Goodbye:
			err = fmt.Errorf("%w: %s", errGoodbye, m.Reason)
		default:
			err = fmt.Errorf("%w: unexpected %T", control.ErrMalformed, m)
		}
		if err != nil {
			return err
		}
	}
}

// moved says that an interface is no longer the one that the link's sockets
// are bound to: it was plugged in again, or has another address.
func (l *clientLink) moved(ifc netmon.Interface) bool {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	if ifc.Index != l.ifc.Index {
		return true
	}
	if l.conn == nil {
		return false
	}
	local := l.conn.local
	return !slices.Contains(ifc.Addrs4, local) && !slices.Contains(ifc.Addrs6, local)
}

// changed says that anything about the interface has changed.
func (l *clientLink) changed(ifc netmon.Interface) bool {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	return !reflect.DeepEqual(l.ifc, ifc)
}

// set notes the state of the control connection.
func (l *clientLink) set(state string, conn *connection) {
	c := l.client
	c.mu.Lock()
	if l.control != state {
		if state == controlConnecting {
			c.log.Debug("link connecting", "link", l.name)
		}
		l.control, l.since = state, time.Now()
	}
	c.count(l)
	if l.conn != nil && l.conn != conn {
		c.past.addStruct(udpPrefix, l.conn.udp.Counters())
	}
	l.conn = conn
	if conn != nil {
		l.err, l.permanent = nil, false
		c.log.Info("link up", "link", l.name, "local", conn.local.String(), "server", conn.server.String(), "suite", conn.suite.String())
	}
	c.mu.Unlock()
	c.setState()
}

// failed notes why the link is not up, and says so once.
func (l *clientLink) failed(err error) {
	c := l.client
	c.counters.failures.Add(1)
	c.mu.Lock()
	known := l.err != nil && l.err.Error() == err.Error()
	l.err, l.permanent = err, isPermanent(err)
	log := c.log.Warn
	if l.permanent {
		log = c.log.Error
	}
	if known {
		log = c.log.Debug
	}
	log("link down", "link", l.name, "reason", err)
	c.mu.Unlock()
	l.set(controlDown, nil)
}

// linkUp and linkDown count the links of a session.
func (s *clientSession) linkUp() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.up++; s.up == 1 && s.hadLink {
		s.client.log.Info("session resumed", "without_link", time.Since(s.lostAt).Round(time.Millisecond))
	}
}

func (s *clientSession) linkDown() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.up--; s.up == 0 {
		s.hadLink, s.lostAt = true, time.Now()
		if !s.client.ending.Load() {
			s.client.log.Warn("session lost", "grace", s.client.cfg.Grace)
		}
	}
}

// connection is a link's control connection with its socket, on which the
// server has welcomed the link.
type connection struct {
	tcp     net.Conn // under control
	control *control.Conn
	udp     underlay.Conn
	asked   control.Strategy  // in the Hello
	policy  config.LinkPolicy // in force at both ends; guarded by the client's lock
	counted uint64            // of what socket and control connection have carried; guarded by the client's lock
	welcome control.Welcome
	suite   seal.Suite
	keys    seal.LinkKeys
	local   netip.Addr
	server  netip.AddrPort // of the datagrams

	since     time.Time
	took      time.Duration // from the first packet to the welcome
	lastHeard atomic.Int64  // when a message came, after since
}

// heard is when a message last came.
func (n *connection) heard() time.Time { return n.since.Add(time.Duration(n.lastHeard.Load())) }

// close does not say goodbye, which could wait for a network that is gone.
func (n *connection) close() {
	_ = n.udp.Close()
	_ = n.tcp.Close()
}

// config is what a session has to know of the link.
func (n *connection) config(l *clientLink) session.LinkConfig {
	return session.LinkConfig{
		ID: l.id, Name: l.name,
		SendKey: n.keys.ClientToServer, ReceiveKey: n.keys.ServerToClient,
		PeerIndex: n.welcome.ReceiverIndex,
		Path:      core.Path{Local: n.local, Remote: n.server},
		Stream:    true,
		RoundTrip: n.took / answersToConnect,
		Policy:    sending(n.policy),
	}
}
