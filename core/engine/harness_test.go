package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/hostnet"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/tun"
	"github.com/multilink-vpn/multilink/core/underlay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for a condition: long, since the machine may be
// busy, and never waited for when all is well.
const patience = 30 * time.Second

// world is a network in memory for datagrams, with control connections over
// loopback TCP.
type world struct {
	t         *testing.T
	datagrams *underlay.Memory
	// openUDP opens sockets: those of datagrams, where a test asks for no others.
	openUDP func(underlay.Options) (underlay.Conn, error)
	// wrapTUN puts something before the server's TUN, where a test asks for that.
	wrapTUN   func(tun.Device) tun.Device
	stateDir  string
	port      uint16
	serverKey control.PrivateKey
	// serverPublic is what clients know of it.
	serverPublic control.PublicKey

	serverClock, clientClock wallClock
	// The processors have AES instructions.
	serverAES, clientAES bool
}

func newWorld(t *testing.T) *world {
	datagrams, key := underlay.NewMemory(1024), newKey(t)
	return &world{
		t: t, datagrams: datagrams, openUDP: datagrams.Open, wrapTUN: func(d tun.Device) tun.Device { return d }, stateDir: t.TempDir(),
		serverKey: key, serverPublic: key.Public(),
		serverAES: true, clientAES: true,
	}
}

func newKey(t *testing.T) control.PrivateKey {
	t.Helper()
	key, err := control.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fakeHost records what is asked of the host.
type fakeHost struct {
	mu      sync.Mutex
	clients []hostnet.ClientPlan
	servers []hostnet.ServerPlan
	links   []string
	undone  bool

	limits    map[netip.Addr]int // of LimitMTU
	guards    []hostnet.ClientPlan
	withdrawn int
}

func (h *fakeHost) ApplyClient(p hostnet.ClientPlan) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients = append(h.clients, p)
	return nil
}

func (h *fakeHost) Guard(p hostnet.ClientPlan) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guards = append(h.guards, p)
	return nil
}

func (h *fakeHost) Withdraw() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.withdrawn++
	return nil
}

func (h *fakeHost) ApplyServer(p hostnet.ServerPlan) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.servers = append(h.servers, p)
	return nil
}

func (h *fakeHost) LimitMTU(addr netip.Addr, mtu int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.limits == nil {
		h.limits = make(map[netip.Addr]int)
	}
	h.limits[addr] = mtu
	return nil
}

func (h *fakeHost) UnlimitMTU(addr netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.limits, addr)
	return nil
}

func (h *fakeHost) SetLinks(names []string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.links = names
	return nil
}

func (h *fakeHost) Recovered() []hostnet.Removed { return nil }
func (h *fakeHost) Warnings() []string           { return nil }
func (h *fakeHost) Undo() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.undone = true
	return nil
}

// process is a client or server that runs.
type process struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
	tun  *tun.PipeEnd
	host *fakeHost
	log  *logBuffer
}

// end stops it and checks that it undid what it did.
func (p *process) end() {
	p.t.Helper()
	p.stop()
	select {
	case err := <-p.done:
		p.done <- err
		if err != nil {
			p.t.Errorf("it ended with %v", err)
		}
	case <-time.After(patience):
		p.t.Fatal("it does not end")
	}
	if !p.host.undone {
		p.t.Error("the host was not put back")
	}
}

func start(t *testing.T, run func(context.Context) error) *process {
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{t: t, stop: cancel, done: make(chan error, 1), host: new(fakeHost)}
	go func() { p.done <- run(ctx) }()
	t.Cleanup(p.end)
	return p
}

type testServer struct {
	*process
	s *Server
}

func (s *testServer) Status() Status { return s.s.Status() }

// server starts a server for clients with those keys.
func (w *world) server(change func(*config.Server), clients ...control.PrivateKey) *testServer {
	w.t.Helper()
	cfg := &config.Server{
		Listen: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port), PrivateKey: w.serverKey,
		MaxClients: 100, Pool4: netip.MustParsePrefix("10.8.0.0/24"), Pool6: netip.MustParsePrefix("fd4d:4c::/64"),
		Strategy: testStrategy("wrr"), AllowClientStrategy: true, AllowQoS: true, Masquerade: true,
		TUN: config.TUN{Name: "srv0", MTU: 1400}, Grace: time.Minute,
		StatusSocket: filepath.Join(w.stateDir, "server.sock"), StateDir: w.stateDir,
	}
	for i, key := range clients {
		cfg.Clients = append(cfg.Clients, config.ServerClient{Name: fmt.Sprintf("client%d", i), PublicKey: key.Public()})
	}
	if change != nil {
		change(cfg)
	}
	var end *tun.PipeEnd
	log := newLog(w.t, "server")
	ready := make(chan struct{})
	s := NewServer(cfg, Options{Version: "test", Log: log.logger, Ready: func() { close(ready) }})
	h := new(fakeHost)
	s.deps = serverDeps{
		check:    func() error { return nil },
		openHost: func(string, string) (host, error) { return h, nil },
		openTUN: func(o tun.Options) (device tun.Device, err error) {
			device, end = tun.NewPipe(o.Name, 1024, o.Ways)
			return w.wrapTUN(device), nil
		},
		listenTCP: func(a netip.AddrPort) (net.Listener, error) {
			return net.Listen("tcp", a.String())
		},
		openUDP: func(o underlay.Options, _ int) ([]underlay.Conn, error) {
			c, err := w.openUDP(o) // in memory one socket serves all
			return []underlay.Conn{c}, err
		},
		timeOfDay: w.serverClock.now,
		hasAES:    func() bool { return w.serverAES },
	}
	p := start(w.t, s.Run)
	p.host, p.log = h, log
	select {
	case <-ready:
	case err := <-p.done:
		p.done <- err
		w.t.Fatalf("server: %v", err)
	case <-time.After(patience):
		w.t.Fatal("the server does not come up")
	}
	p.tun, w.port = end, s.udp[0].LocalAddr().Port()
	return &testServer{p, s}
}

type fakeMonitor struct{ c chan []netmon.Interface }

func (m *fakeMonitor) C() <-chan []netmon.Interface { return m.c }
func (m *fakeMonitor) Close()                       {}

type testClient struct {
	*process
	c       *Client
	monitor *fakeMonitor
}

func (c *testClient) Status() Status { return c.c.Status() }

// client starts a client with those interfaces.
func (w *world) client(key control.PrivateKey, change func(*Client), interfaces ...netmon.Interface) *testClient {
	w.t.Helper()
	name := "c" + key.Public().String()[:4]
	cfg := &config.Client{
		Server: config.HostPort{Host: "127.0.0.1", Port: w.port}, ServerKey: w.serverPublic, PrivateKey: key,
		Strategy: testStrategy("wrr"), QoS: config.QoS{Mode: config.QoSQueue}, TUN: config.TUN{Name: "tun0", MTU: 1400},
		Underlay: config.Underlay{Family: "any"}, Routes: config.Routes{Default: true, Mark: 1, Table: 1},
		DNS: config.DNS{Mode: "auto"}, Grace: time.Minute,
		StatusSocket: filepath.Join(w.t.TempDir(), "client.sock"), StateDir: w.stateDir,
	}
	device, end := tun.NewPipe(cfg.TUN.Name, 1024, 1)
	log := newLog(w.t, name)
	c := NewClient(cfg, Options{Version: "test", Log: log.logger})
	h := new(fakeHost)
	m := &fakeMonitor{c: make(chan []netmon.Interface, 1)}
	c.deps = clientDeps{
		check:      func() error { return nil },
		openHost:   func(string, string) (host, error) { return h, nil },
		openTUN:    func(tun.Options) (tun.Device, error) { return device, nil },
		newMonitor: func(*slog.Logger) (monitor, error) { return m, nil },
		dialTCP: func(ctx context.Context, o underlay.Options) (net.Conn, error) {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(o.Listen)}
			return d.DialContext(ctx, "tcp", o.Remote.String())
		},
		openUDP: w.openUDP,
		lookup: func(context.Context, underlay.Options, string) ([]netip.Addr, error) {
			return nil, errors.New("no such name")
		},
		timeOfDay: w.clientClock.now,
		hasAES:    func() bool { return w.clientAES },
	}
	if change != nil {
		change(c)
	}
	m.c <- interfaces
	p := start(w.t, c.Run)
	p.tun, p.host, p.log = end, h, log
	return &testClient{p, c, m}
}

// plug says which interfaces there are from now on.
func (c *testClient) plug(interfaces ...netmon.Interface) { c.monitor.c <- interfaces }

// iface is a usable interface; its addresses are of the loopback network.
func iface(name string, host int) netmon.Interface {
	return netmon.Interface{
		Name: name, Index: host, Up: true, Carrier: true, HasRoute4: true,
		Addrs4: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 1, byte(host)})},
	}
}

func testStrategy(scheduler string) control.Strategy {
	return control.Strategy{
		Scheduler: control.PerDirection{Up: scheduler, Down: scheduler},
		Reorder:   control.PerDirection{Up: "global", Down: "global"},
		Equalize:  "auto", Reports: "auto", Retransmit: true, Classifier: "rtp",
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", patience, what)
		}
	}
}

// waitLinks waits until exactly those links, sorted, carry data at the client.
func (c *testClient) waitLinks(names ...string) {
	c.t.Helper()
	eventually(c.t, fmt.Sprintf("links %v up, status %+v", names, c.Status().Links), func() bool {
		var up []string
		st := c.Status()
		for _, l := range st.Links {
			if l.State == "up" && l.Control == controlUp {
				up = append(up, l.Name)
			}
		}
		slices.Sort(up)
		return st.State == Up && slices.Equal(up, names)
	})
}

// address returns the client's IPv4 address in the tunnel.
func (c *testClient) address() netip.Addr {
	s := c.c.current.Load()
	if s == nil {
		c.t.Fatal("no session")
	}
	return s.address[0].Addr()
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu     sync.Mutex
	text   []byte
	logger *slog.Logger
}

func newLog(t *testing.T, name string) *logBuffer {
	b := new(logBuffer)
	b.logger = slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, b)
		}
	})
	return b
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
