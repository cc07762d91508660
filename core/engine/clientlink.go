package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// How a link tries again, and when it renews its keys.
const (
	firstRetry   = 250 * time.Millisecond
	refusedRetry = time.Second // the host is there, the server is not (yet)
	lastRetry    = 10 * time.Second
	steadyAfter  = 10 * time.Second // a link that held this long starts over

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
		var err error
		if conn == nil {
			if s.expired(l.client.config().Grace) {
				s.end(l.name)
				return
			}
			l.set(controlConnecting, nil)
			conn, err = l.connect(ctx, s.ref)
			if hasCode(err, control.CodeBadSession) {
				l.client.log.Info("the server does not know the session any more", "link", l.name, "error", err)
				s.end(l.name)
				return
			}
		}
		if conn != nil {
			began := time.Now()
			err = l.carry(ctx, s, conn)
			conn = nil
			if time.Since(began) > steadyAfter {
				tries = 0
			}
		}
		if ctx.Err() != nil || l.client.ending.Load() {
			return
		}
		l.failed(err)
		sleep(ctx, backoff(tries, err), l.kick)
	}
}

// carry uses a connection, and those that replace it, until one fails.
func (l *clientLink) carry(ctx context.Context, s *clientSession, conn *connection) error {
	s.linkUp()
	defer s.linkDown()
	for {
		next, err := l.hold(ctx, s, conn)
		if next == nil {
			s.driver.RemoveLink(l.id)
			return err
		}
		conn = next
	}
}

// hold uses one connection until it fails, or is due to be replaced by next.
func (l *clientLink) hold(ctx context.Context, s *clientSession, conn *connection) (next *connection, err error) {
	failed := make(chan error, 1)
	report := func(err error) {
		select {
		case failed <- err:
		default: // one reason is enough
		}
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer conn.close()
	if err := s.driver.AddLink(conn.config(l), conn.udp, report); err != nil {
		return nil, err
	}
	l.set(controlUp, conn)
	s.settle(conn.welcome.Strategy)
	readers.Go(func() { report(l.readDatagrams(s, conn)) })
	readers.Go(func() { report(l.readMessages(s, conn)) })

	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	rekey := time.NewTimer(rekeyEvery)
	defer rekey.Stop()
	for id := uint64(1); ; id++ {
		select {
		case err := <-failed:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ping.C:
			if err := conn.control.Send(control.Ping{ID: id}); err != nil {
				return nil, err
			}
			if n := conn.udp.Counters(); max(n.WriteDatagrams, n.ReadDatagrams) < conn.suite.SealLimit()/2 {
				continue
			}
		case <-rekey.C:
		}
		if next, err := l.connect(ctx, s.ref); err == nil {
			return next, nil
		}
		rekey.Reset(rekeyRetry) // the old keys are still good
	}
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
	conn.control.SetIdleTimeout(deadAfter)
	for {
		m, err := conn.control.Receive()
		if err != nil {
			return errors.New(describeEnd(err))
		}
		switch m := m.(type) {
		case control.Pong:
		case control.Reconfigure:
			err = s.adopt(m.Strategy)
		case control.Goodbye:
			err = fmt.Errorf("the server said goodbye: %s", m.Reason)
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
	s.up++
	s.client.mu.Unlock()
}

func (s *clientSession) linkDown() {
	s.client.mu.Lock()
	if s.up--; s.up == 0 {
		s.hadLink, s.lostAt = true, time.Now()
	}
	s.client.mu.Unlock()
}

// connection is a link's control connection with its socket, on which the
// server has welcomed the link.
type connection struct {
	tcp     net.Conn // under control
	control *control.Conn
	udp     underlay.Conn
	asked   control.Strategy  // in the Hello
	policy  config.LinkPolicy // in force at both ends; guarded by the client's lock
	counted uint64            // of what the socket has carried; guarded by the client's lock
	welcome control.Welcome
	suite   seal.Suite
	keys    seal.LinkKeys
	local   netip.Addr
	server  netip.AddrPort // of the datagrams
}

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
		Policy:    sending(n.policy),
	}
}

// backoff is the pause after a number of failures in a row, with some chance
// in it so that links and clients do not all come at once.
func backoff(tries int, err error) time.Duration {
	d := lastRetry
	if tries < 6 {
		d = min(lastRetry, firstRetry<<tries)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		d = min(d, refusedRetry)
	case isPermanent(err):
		d = lastRetry
	}
	return d*3/4 + time.Duration(rand.Int64N(int64(d/2)))
}

// isPermanent says that only a person can mend it.
func isPermanent(err error) bool {
	var wrong *control.WrongServerError
	return errors.As(err, &wrong) || hasCode(err, control.CodeUnknownKey) ||
		hasCode(err, control.CodeVersion) || hasCode(err, control.CodeSuite) || hasCode(err, control.CodeBadRequest)
}

// hasCode says whether the server rejected a link for that reason.
func hasCode(err error, code control.Code) bool {
	var rejected *control.RejectError
	return errors.As(err, &rejected) && rejected.Code == code
}
