package engine

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/wire"
)

// serve is the life of a client's control connection.
func (s *Server) serve(conn *control.Conn, hello control.Hello) {
	defer conn.Close()
	link, err := s.join(conn, hello)
	if err != nil {
		s.turnAway(conn, err)
		return
	}
	log := s.log.With("client", link.session.name, "link", link.name)
	log.Info("link up", "from", conn.RemoteAddr().String(), "suite", link.suite.String())
	link.session.driver.receiveFrom(conn, link.id)
	conn.SetIdleTimeout(deadAfter)
	err = s.converse(link)
	s.leave(link)
	log.Info("link down", "reason", cmp.Or(link.closedBy, describeEnd(err)))
}

// turnAway tells a client why it cannot join.
func (s *Server) turnAway(conn *control.Conn, err error) {
	reject := control.Reject{Code: control.CodeBusy, Reason: "the server has a problem: see its log"}
	if refused, ok := errors.AsType[*refusal](err); ok {
		reject = control.Reject(*refused)
	}
	level := slog.LevelWarn
	if reject.Code == control.CodeBadSession {
		level = slog.LevelInfo // every client's first word after a restart
	}
	s.log.Log(context.Background(), level, "client turned away", "from", conn.RemoteAddr().String(), "key", conn.Peer().String(),
		"code", string(reject.Code), "error", err)
	_ = conn.Send(reject) // the connection ends in any case
}

// refusal is an answer to a Hello that cannot be accepted.
type refusal control.Reject

func (r *refusal) Error() string { return r.Reason }

func refuse(code control.Code, format string, args ...any) error {
	return &refusal{Code: code, Reason: fmt.Sprintf(format, args...)}
}

// join makes a link part of its session, which it opens or finds, and welcomes it.
func (s *Server) join(conn *control.Conn, hello control.Hello) (*serverLink, error) {
	suite, err := seal.Negotiate(seal.ParseSuites(hello.Suites), seal.Preferred(s.deps.hasAES()))
	if err != nil {
		return nil, refuse(control.CodeSuite, "%v", err)
	}
	l := &serverLink{id: hello.LinkID, name: hello.LinkName, conn: conn, suite: suite, since: time.Now(), index: s.table.reserve()}
	keys, err := seal.Derive(conn.Export, seal.Binding{
		Suite: suite, Link: l.id, ClientIndex: hello.ReceiverIndex, ServerIndex: l.index,
	})
	if err == nil {
		err = s.attach(l, hello, keys)
	}
	if err != nil {
		s.table.release(l.index)
		return nil, err
	}
	s.counters.joins.Add(1)
	return l, nil
}

// attach adds a link to its session and welcomes it, before anything else can be
// told over it.
func (s *Server) attach(l *serverLink, hello control.Hello, keys seal.LinkKeys) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.sessionFor(l.conn.Peer(), hello)
	if err != nil {
		return err
	}
	l.session = c
	// No path: the session learns it from the link's first datagram.
	err = c.driver.AddLink(session.LinkConfig{
		ID: l.id, Name: l.name, SendKey: keys.ServerToClient, ReceiveKey: keys.ClientToServer,
		PeerIndex: hello.ReceiverIndex, Policy: ruled(hello.Rules),
	}, &carrier{s.udp.of(l.index), l.conn, &s.counters.streamFull}, func(error) { s.counters.sendErrors.Add(1) })
	if err != nil {
		return err
	}
	s.table.set(l.index, endpoint{driver: c.driver, link: l.id})
	if old := c.links[l.id]; old != nil {
		s.table.release(old.index)
		old.close("the client has connected anew")
	}
	c.links[l.id] = l
	if c.expiry != nil {
		c.expiry.Stop()
		c.expiry = nil
	}
	l.conn.Post(s.welcome(l))
	return nil
}

// sessionFor finds the session that a Hello names, or opens one.
func (s *Server) sessionFor(key control.PublicKey, hello control.Hello) (*serverSession, error) {
	if s.state != Up {
		return nil, refuse(control.CodeBusy, "the server is stopping")
	}
	client, ok := s.clients[key]
	if !ok {
		return nil, refuse(control.CodeUnknownKey, "the server does not know this client's key %s any more", key)
	}
	current := s.sessions[key]
	if !hello.Session.IsZero() {
		if current == nil || current.ref.ID != hello.Session.ID ||
			subtle.ConstantTimeCompare(current.ref.Secret, hello.Session.Secret) != 1 {
			return nil, refuse(control.CodeBadSession, "there is no such session: the server was restarted, or the session was replaced or has expired")
		}
		return current, nil
	}
	var waiting []core.Packet
	if current != nil {
		s.log.Info("session ended", "client", current.name, "reason", "its client opened a new one")
		waiting = current.driver.Drain()
		s.endSession(current, control.Goodbye{Reason: "replaced by a new session with the same key: does another machine use it?"})
	}
	if len(s.sessions) >= s.cfg.MaxClients {
		return nil, refuse(control.CodeBusy, "the server has %d clients, the most it is configured for (max_clients)", len(s.sessions))
	}
	got, err := s.leases.take(key.String(), s.connected)
	if errors.Is(err, errPoolExhausted) {
		return nil, refuse(control.CodePoolExhausted, "%v", err)
	}
	if err != nil {
		return nil, err
	}
	c, err := s.openSession(client.Name, key, got, s.strategy(hello.Strategy), hello.MTU)
	if err == nil && current != nil && current.address == c.address {
		// While the client was away, connections have sent what they will not
		// soon send again.
		c.driver.HandlePackets(waiting)
	}
	return c, err
}

// warn tells of what went wrong without anything having to end for it.
func (s *Server) warn(err error) {
	if err != nil {
		s.log.Warn(err.Error())
	}
}

// connected says whether the client of a key has a session.
func (s *Server) connected(text string) bool {
	key, err := control.ParsePublicKey(text)
	return err == nil && s.sessions[key] != nil
}

func (s *Server) openSession(name string, key control.PublicKey, got lease, st control.Strategy, mtu int) (*serverSession, error) {
	c := &serverSession{
		name: name, key: key, ref: newSessionRef(), lease: got,
		mtu: min(s.cfg.TUN.MTU, mtu), since: time.Now(), strategy: st,
		links: make(map[core.LinkID]*serverLink),
	}
	c.address[0], c.address[1] = s.leases.addresses(got)
	var err error
	if c.driver, err = s.newDriver(c); err != nil {
		return nil, err
	}
	for _, a := range c.addresses() {
		s.table.route(a, c.driver)
		if c.mtu < s.cfg.TUN.MTU {
			s.warn(s.host.LimitMTU(a, c.mtu))
		}
	}
	s.sessions[key] = c
	s.counters.sessions.Add(1)
	s.log.Info("session opened", "client", name, "id", got.ID, "addresses", addressTexts(c.address[:]))
	return c, nil
}

// strategy decides about what a client asks for.
func (s *Server) strategy(asked control.Strategy) control.Strategy {
	own := s.cfg.Strategy
	if !s.cfg.AllowClientStrategy {
		return own
	}
	return agree(asked, own)
}

// reconfigure puts a strategy into force.
func (s *Server) reconfigure(c *serverSession, st control.Strategy) error {
	if c.strategy == st {
		return nil
	}
	err := serverSide(st).set(c.driver)
	if err == nil {
		c.strategy = st
		s.log.Info("strategy changed", "client", c.name, "scheduler", direction(st.Scheduler), "reorder", direction(st.Reorder))
	}
	return err
}

// welcome is the answer to a link that has joined; with the lock held.
func (s *Server) welcome(l *serverLink) control.Welcome {
	c := l.session
	return control.Welcome{
		ClientID: c.lease.ID, Session: c.ref,
		Address4: c.address[0], Address6: c.address[1],
		Gateway4: s.gateway[0].Addr(), Gateway6: s.gateway[1].Addr(),
		MTU: c.mtu, DNS: s.cfg.DNS, ReceiverIndex: l.index,
		UDPPort: s.udp[0].LocalAddr().Port(), Suite: l.suite.String(), Strategy: c.strategy,
	}
}

// converse answers what a client says until its connection ends. A nil error
// means that the client said goodbye.
func (s *Server) converse(l *serverLink) error {
	for {
		m, err := l.conn.Receive()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case control.Ping:
			err = l.conn.Send(control.Pong(m))
		case control.Reconfigure:
			err = s.changeStrategy(l, m.Strategy)
		case control.QoS:
			s.changeQoS(l, m.Rules)
		case control.LinkPolicy:
			s.changePolicy(l, m)
		case control.LinksGone:
			s.linksGone(l.session, m)
		case control.Goodbye:
			s.goodbye(l, m)
			return nil
		default:
			err = fmt.Errorf("%w: unexpected %T", control.ErrMalformed, m)
		}
		if err != nil {
			return err
		}
	}
}

// changeStrategy follows a client's wish and tells it what is in force.
func (s *Server) changeStrategy(l *serverLink, asked control.Strategy) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.reconfigure(l.session, s.strategy(asked)); err != nil {
		return err
	}
	l.conn.Post(control.Reconfigure{Strategy: l.session.strategy})
	return nil
}

// changePolicy follows the rules for a link, unless another connection has taken
// the place of the one that they came over: its Hello had newer ones.
func (s *Server) changePolicy(l *serverLink, m control.LinkPolicy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.session.links[l.id] == l {
		l.session.driver.SetPolicy(m.LinkID, ruled(m.Rules))
	}
}

// linksGone takes the links out of a session that its client has lost.
func (s *Server) linksGone(c *serverSession, m control.LinksGone) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range c.links {
		if slices.Contains(m.Receivers, l.index) {
			s.remove(l)
			l.close("the client says over another link that it is gone")
		}
	}
}

// leave takes a link out of its session whose connection has ended.
func (s *Server) leave(l *serverLink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(l)
}

// remove takes a link out of its session, unless another connection has taken
// its place; with the lock held.
func (s *Server) remove(l *serverLink) {
	c := l.session
	if c.links[l.id] != l {
		return
	}
	delete(c.links, l.id)
	s.table.release(l.index)
	c.driver.RemoveLink(l.id)
	if len(c.links) == 0 && !c.ended {
		c.expiry = time.AfterFunc(s.cfg.Grace, func() { s.expire(c) })
	}
}

// expire ends a session that has had no link for the grace time.
func (s *Server) expire(c *serverSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.ended && len(c.links) == 0 {
		s.log.Info("session ended", "client", c.name, "reason", "no link for the grace time", "grace", s.cfg.Grace.String())
		s.endSession(c, control.Goodbye{Reason: "expired"})
	}
}

// goodbye ends the session of a client that wants no more of it.
func (s *Server) goodbye(l *serverLink, m control.Goodbye) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !l.session.ended {
		s.log.Info("session ended", "client", l.session.name, "reason", "goodbye: "+m.Reason)
		s.endSession(l.session, m)
	}
}

// endSession forgets a session and ends its links; with the lock held. A new
// one may take its place at once.
func (s *Server) endSession(c *serverSession, why control.Goodbye) {
	c.ended = true
	if c.expiry != nil {
		c.expiry.Stop()
	}
	for id, l := range c.links {
		delete(c.links, id)
		s.table.release(l.index)
		s.serving.Go(func() { endConn(l.conn, why) })
	}
	for _, a := range c.addresses() {
		s.table.unroute(a, c.driver)
		if c.mtu < s.cfg.TUN.MTU {
			s.warn(s.host.UnlimitMTU(a))
		}
	}
	s.past.addStruct("", c.driver.Snapshot().Counters)
	c.driver.Close()
	if s.sessions[c.key] == c {
		delete(s.sessions, c.key)
	}
}

// endpointOf finds the link of a datagram.
func (s *Server) endpointOf(d []byte) endpoint {
	h, err := wire.ParseHeader(d)
	if err != nil {
		s.counters.header.Add(1)
		return endpoint{}
	}
	e, ok := s.table.link(h.Receiver)
	if !ok {
		s.counters.noSession.Add(1)
	}
	return e
}
