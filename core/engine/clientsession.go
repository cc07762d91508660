package engine

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/session"
)

// clientSession is the client's side of a session.
type clientSession struct {
	client   *Client
	driver   *driver
	ref      control.SessionRef
	clientID uint32
	address  [2]netip.Prefix // IPv4 and IPv6; the zero Prefix where there is none
	mtu      int
	suite    string
	since    time.Time

	over    chan struct{} // closed when the server no longer knows it
	overBy  string        // the interface on which the server said so
	endOnce sync.Once

	// Guarded by the client's lock.
	asked    control.Strategy // of the server, last
	settled  control.Strategy // what was asked when the server last answered
	strategy control.Strategy // in force
	qos      agreement
	up       int       // links
	gone     []uint32  // the server's receiver indexes of the last links that went
	hadLink  bool      // and lost it
	lostAt   time.Time // when the last link went
}

// begin makes the session that the server has opened, and directs the host's
// traffic into it.
func (c *Client) begin(conn *connection) (*clientSession, error) {
	w := conn.welcome
	s := &clientSession{
		client: c, ref: w.Session, clientID: w.ClientID, address: [2]netip.Prefix{w.Address4, w.Address6},
		mtu: min(w.MTU, c.config().TUN.MTU), suite: w.Suite, since: time.Now(), lostAt: time.Now(),
		asked: conn.asked, settled: conn.asked, strategy: w.Strategy, over: make(chan struct{}),
	}
	side := clientSide(w.Strategy)
	var err error
	s.driver, err = newDriver(c.clock, session.Config{
		Send: side.send, Reorder: side.reorder, MTU: s.mtu, Seed: rand.Uint64(),
	}, c.device.Queues()[0], nil, c.log)
	if err != nil {
		return nil, err
	}
	if err := c.configureHost(s, w); err != nil {
		s.driver.Close()
		return nil, err
	}
	s.applyQoS()
	c.succeed(c.current.Swap(s), s)
	c.counters.sessions.Add(1)
	c.log.Info("session opened", "server", conn.server.String(), "addresses", addressTexts(s.address[:]), "mtu", s.mtu,
		"scheduler", direction(w.Strategy.Scheduler), "reorder", direction(w.Strategy.Reorder))
	return s, nil
}

// succeed ends the session before s, if there was one. What it has not
// delivered goes on in s: while the server was away, connections have sent what
// they will not soon send again.
func (c *Client) succeed(old, s *clientSession) {
	if old == nil {
		return
	}
	if waiting := s.fromSelf(old.driver.Drain()); len(waiting) > 0 {
		s.driver.HandlePackets(waiting)
	}
	c.finish(old)
}

// finish lets go of a session.
func (c *Client) finish(s *clientSession) {
	snap := s.driver.Snapshot()
	s.driver.Close()
	c.mu.Lock()
	c.past.addStruct("", snap.Counters)
	c.mu.Unlock()
	c.current.CompareAndSwap(s, nil)
	c.setState()
}

// end says that the server no longer knows the session, as it answered on an
// interface.
func (s *clientSession) end(name string) {
	s.endOnce.Do(func() {
		s.overBy = name
		close(s.over)
	})
}

// isOver says whether end was called.
func (s *clientSession) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// fromSelf leaves out packets whose source is not the session's: the server
// would drop them. They are those of sockets bound to another address.
func (s *clientSession) fromSelf(packets []core.Packet) []core.Packet {
	kept := packets[:0]
	for _, p := range packets {
		src, _, ok := addressesOf(p.Data)
		if ok && (src == s.address[0].Addr() || src == s.address[1].Addr()) {
			kept = append(kept, p)
		} else {
			s.client.counters.foreign.Add(1)
		}
	}
	return kept
}

// keep has a link over every usable interface until ctx ends or the session is
// over; then it returns on which interface the server said so.
func (c *Client) keep(ctx context.Context, s *clientSession, first *clientLink, conn *connection) string {
	// Links outlive ctx for a moment, to say goodbye.
	all, stopAll := context.WithCancel(context.WithoutCancel(ctx))
	links := runners{client: c, session: s, all: all, running: make(map[string]*runner)}
	defer func() {
		stopAll()
		links.wait()
	}()
	links.start(first, conn, nil)
	for {
		links.follow(c.candidates(""))
		select {
		case <-c.wake:
		case <-s.over:
			return s.overBy
		case <-ctx.Done():
			c.ending.Store(true)
			c.sayGoodbye(links.running)
			return ""
		}
	}
}

// sayGoodbye ends the session at the server, over whichever link is faster.
func (c *Client) sayGoodbye(running map[string]*runner) {
	var all sync.WaitGroup
	for _, r := range running {
		if conn := c.connectionOf(r.link); conn != nil {
			all.Go(func() { endConn(conn.control, control.Goodbye{Reason: "the client is ending"}) })
		}
	}
	said := make(chan struct{})
	go func() {
		all.Wait()
		close(said)
	}()
	select {
	case <-said:
	case <-time.After(byeTimeout):
	}
}

// adopt puts the strategy that the server says is in force into force here.
func (s *clientSession) adopt(st control.Strategy) error {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	same := s.strategy == st
	s.settled, s.strategy = s.asked, st
	if same {
		return nil
	}
	c.log.Info("strategy changed", "scheduler", direction(st.Scheduler), "reorder", direction(st.Reorder))
	return clientSide(st).set(s.driver)
}

// expired says that there was no link for the grace time, after which the
// server has forgotten the session.
func (s *clientSession) expired(grace time.Duration) bool {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.up == 0 && time.Since(s.lostAt) > grace
}

// clientCounters are the client's own counters.
type clientCounters struct {
	noSession, foreign, sessions, connects, failures, streamFull atomic.Uint64
}

// engineClientCounters is clientCounters at one moment. A super-packet from the
// TUN counts once.
type engineClientCounters struct {
	DropNoSession uint64 `json:"drop_no_session"`     // packet before the first session, or between two
	DropForeign   uint64 `json:"drop_foreign_source"` // packet from an address that is not the tunnel's
	// DropStreamFull counts datagrams for which a control connection had no room.
	DropStreamFull uint64 `json:"drop_stream_full"`
	Sessions       uint64 `json:"sessions"`      // that have begun
	Connects       uint64 `json:"connects"`      // control connections that the server welcomed
	LinkFailures   uint64 `json:"link_failures"` // links that did not come up, or went down
}

func (c *clientCounters) snapshot() engineClientCounters {
	return engineClientCounters{
		DropNoSession:  c.noSession.Load(),
		DropForeign:    c.foreign.Load(),
		DropStreamFull: c.streamFull.Load(),
		Sessions:       c.sessions.Load(),
		Connects:       c.connects.Load(),
		LinkFailures:   c.failures.Load(),
	}
}
