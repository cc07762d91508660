package engine

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	randv2 "math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/tun"
	"github.com/multilink-vpn/multilink/core/underlay"
)

// Server gives clients their sessions and forwards between them and the TUN.
type Server struct {
	log     *slog.Logger // what is logged becomes events, too
	events  *events
	opts    Options
	deps    serverDeps
	clock   clock
	started time.Time

	pools    pools
	gateway  [2]netip.Prefix
	table    *table
	counters serverCounters

	// Set by Run before anything else runs.
	device   tun.Device
	host     host
	udp      sockets
	listener *control.Listener
	leases   *leases
	serving  sync.WaitGroup

	mu       sync.Mutex
	cfg      *config.Server
	clients  map[control.PublicKey]config.ServerClient
	sessions map[control.PublicKey]*serverSession
	past     Counters // of sessions that have ended
	state    State
	reason   string
	warnings []string // about the host
}

// NewServer makes a server; Run starts it.
func NewServer(cfg *config.Server, o Options) *Server {
	e := new(events)
	s := &Server{
		log: e.tap(o.Log), events: e, opts: o, deps: realServer(), clock: newClock(), started: time.Now(),
		pools:    pools{v4: cfg.Pool4, v6: cfg.Pool6},
		table:    newTable(),
		cfg:      cfg,
		sessions: make(map[control.PublicKey]*serverSession),
		past:     make(Counters),
		state:    Starting,
	}
	s.gateway[0], s.gateway[1] = s.pools.of(serverID)
	s.clients = clientsByKey(cfg)
	return s
}

func clientsByKey(cfg *config.Server) map[control.PublicKey]config.ServerClient {
	m := make(map[control.PublicKey]config.ServerClient, len(cfg.Clients))
	for _, c := range cfg.Clients {
		m[c.PublicKey] = c
	}
	return m
}

// Run serves until ctx ends, then undoes what it did to the host. An error that
// wraps ErrMachine says that the machine lacks something.
func (s *Server) Run(ctx context.Context) (err error) {
	var undo undoList
	defer func() { err = errors.Join(err, undo.run()) }()
	public := s.cfg.PrivateKey.Public() // before Reload may replace it
	if err := s.open(&undo); err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, q := range s.device.Queues() {
		running.Go(func() { s.readTUN(q) })
	}
	for _, c := range s.udp {
		running.Go(func() { s.readUDP(c) })
	}
	s.setState(Up, "")
	s.log.Info("serving", "listen", s.listener.Addr().String(), "tun", s.device.Name(), "pool", s.pools.String(),
		"public_key", public.String())
	s.opts.ready()

	for {
		conn, hello, err := s.listener.Accept(ctx)
		if err != nil {
			break // the end: only ctx or Close lead here
		}
		s.serving.Go(func() { s.serve(conn, hello) })
	}
	s.shutDown()
	running.Wait()
	return nil
}

// open makes all that the server needs, or nothing of it.
func (s *Server) open(undo *undoList) error {
	cfg := s.cfg
	if err := s.deps.check(); err != nil {
		return err
	}
	status, err := openStatusSocket(cfg.StatusSocket, s.Status, s.commands(), s.events, s.log)
	if err != nil {
		return err
	}
	undo.add(func() error { status.Close(); return nil })
	metrics, err := openMetrics(cfg.Metrics.Listen, s.Status, s.log)
	if err != nil {
		return err
	}
	undo.add(func() error { metrics.Close(); return nil })

	if s.leases, err = openLeases(filepath.Join(cfg.StateDir, cfg.TUN.Name+".leases.json"), s.pools, fixedAddresses(cfg), s.deps.timeOfDay); err != nil {
		return err
	}
	undo.add(s.leases.close)
	if err := s.openSockets(undo); err != nil {
		return err
	}
	s.host, err = s.deps.openHost(cfg.StateDir, cfg.TUN.Name)
	if err != nil {
		return explainHost(err)
	}
	undo.add(s.host.Undo)
	for _, r := range s.host.Recovered() {
		s.log.Info("cleaned up after a crash", "what", r.String())
	}
	dev, err := s.deps.openTUN(tun.Options{Name: cfg.TUN.Name, MTU: cfg.TUN.MTU, Mode: tun.Mode(cfg.TUN.Mode), Ways: ways})
	if err != nil {
		return explainTUN(err)
	}
	undo.add(ignoreClosed(dev.Close))
	s.device = dev
	if err := s.host.ApplyServer(s.plan()); err != nil {
		return explainHost(err)
	}
	s.mu.Lock()
	s.warnings = s.host.Warnings()
	s.mu.Unlock()
	for _, w := range s.warnings {
		s.log.Warn(w)
	}
	return nil
}

// openSockets takes the port, TCP and UDP.
func (s *Server) openSockets(undo *undoList) error {
	tcp, err := s.deps.listenTCP(s.cfg.Listen)
	if err != nil {
		return explainListen("TCP", s.cfg.Listen, err)
	}
	s.listener, err = control.NewListener(tcp, s.cfg.PrivateKey, s.known, control.Limits{}, s.log)
	if err != nil {
		tcp.Close()
		return err
	}
	undo.add(ignoreClosed(s.listener.Close))
	local := s.cfg.Listen
	if a, ok := tcp.Addr().(*net.TCPAddr); ok { // port 0: the one that was chosen
		local = netip.AddrPortFrom(local.Addr(), uint16(a.Port))
	}
	s.udp, err = s.deps.openUDP(underlay.Options{Listen: local, Mode: underlay.Mode(s.cfg.Underlay.Mode)}, readers())
	if err != nil {
		return explainListen("UDP", local, err)
	}
	undo.add(ignoreClosed(s.udp.Close))
	return nil
}

// known says whether a key is that of a configured client.
func (s *Server) known(key control.PublicKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.clients[key]
	return ok
}

// shutDown ends every session and unblocks whoever reads.
func (s *Server) shutDown() {
	s.mu.Lock()
	s.state = Starting
	for _, c := range s.sessions {
		s.endSession(c, control.Goodbye{Reason: "the server is stopping"})
	}
	s.mu.Unlock()
	_ = s.listener.Close()
	_ = s.udp.Close()
	_ = s.device.Close()
	s.serving.Wait()
}

// readTUN takes packets from a queue of the TUN to the sessions of their
// destinations.
func (s *Server) readTUN(queue tun.Queue) {
	var batch tun.Batch
	for {
		if err := queue.Read(&batch); err != nil {
			s.readEnded("TUN device", err)
			return
		}
		s.routePackets(batch.Packets)
	}
}

// routePackets hands over runs of packets for the same client at once.
func (s *Server) routePackets(packets []core.Packet) {
	var (
		current *driver
		start   int
	)
	flush := func(end int) {
		if current != nil {
			current.HandlePackets(packets[start:end])
		}
		start = end
	}
	for i, p := range packets {
		var d *driver
		if _, dst, ok := addressesOf(p.Data); ok {
			d = s.table.destination(dst)
		}
		if d == nil {
			s.counters.noClient.Add(1)
		}
		if d != current {
			flush(i)
			current = d
		}
	}
	flush(len(packets))
}

// readUDP takes datagrams from one of the sockets to the links of their
// receiver indices.
func (s *Server) readUDP(socket underlay.Conn) {
	var batch underlay.Batch
	for {
		if err := socket.Read(&batch); err != nil {
			s.readEnded("UDP socket", err)
			return
		}
		s.routeDatagrams(batch.Datagrams)
	}
}

// routeDatagrams hands over runs of datagrams for the same link at once.
func (s *Server) routeDatagrams(datagrams []core.Datagram) {
	var (
		current endpoint
		start   int
	)
	flush := func(end int) {
		if current.driver != nil {
			current.driver.HandleDatagrams(current.link, datagrams[start:end])
		}
		start = end
	}
	for i, d := range datagrams {
		e := s.endpointOf(d.Data)
		if e != current {
			flush(i)
			current = e
		}
	}
	flush(len(datagrams))
}

// readEnded notes why a reader has stopped.
func (s *Server) readEnded(what string, err error) {
	if !isClosed(err) {
		s.log.Error(what+" failed", "error", err)
		s.setState(Failing, fmt.Sprintf("%s: %v", what, err))
	}
}

func (s *Server) setState(st State, reason string) {
	s.mu.Lock()
	s.state, s.reason = st, reason
	s.mu.Unlock()
}

// newDriver makes the session core of a client.
func (s *Server) newDriver(c *serverSession) (*driver, error) {
	side := serverSide(c.strategy)
	keeper := &gatekeeper{pools: s.pools, isolated: !s.cfg.ClientToClient, counters: &s.counters}
	for i := range keeper.own {
		keeper.own[i], keeper.gateway[i] = c.address[i].Addr(), s.gateway[i].Addr()
	}
	queues := s.device.Queues() // one each, while there are enough: writing takes a lock
	return newDriver(s.clock, session.Config{
		Send: side.send, Reorder: side.reorder,
		LearnPaths: true, FollowLatency: true, MTU: c.mtu, Seed: randv2.Uint64(),
	}, queues[int(c.lease.ID)%len(queues)], keeper.admit, s.log.With("client", c.name))
}

// fixedAddresses returns what the configuration gives to whom.
func fixedAddresses(cfg *config.Server) map[string]fixed {
	m := make(map[string]fixed, len(cfg.Clients))
	for _, c := range cfg.Clients {
		m[c.PublicKey.String()] = fixed{v4: c.Address4, v6: c.Address6}
	}
	return m
}

// newSessionRef draws the name and secret of a session.
func newSessionRef() control.SessionRef {
	b := make([]byte, 8+32)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return control.SessionRef{ID: base64.RawURLEncoding.EncodeToString(b[:8]), Secret: b[8:]}
}
