package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/netmon"
	"github.com/multilink-vpn/multilink/core/tun"
)

// Client is the user's end of the tunnel.
//
// Its life is a loop: open a session over the first interface on which the
// server answers, then keep a link over every usable interface until the
// server no longer knows the session, and begin again with what it has not
// delivered. The TUN device, the addresses and the routes outlive sessions.
type Client struct {
	log      *slog.Logger // what is logged becomes events, too
	events   *events
	opts     Options
	deps     clientDeps
	clock    clock
	started  time.Time
	counters clientCounters
	wake     chan struct{} // holds one: interfaces or configuration have changed
	ending   atomic.Bool   // saying goodbye: links that end are no news

	// Set by Run before anything else runs.
	device   tun.Device
	resolver *resolver

	// current is the session that the TUN's packets go to; nil before the first.
	current atomic.Pointer[clientSession]

	mu          sync.Mutex
	cfg         *config.Client
	qos         config.QoS         // in force: the configuration's, or what was changed since
	qosVersion  int                // counts the changes of qos
	interfaces  []netmon.Interface // all there are
	usable      []netmon.Interface // those to have links on, in order
	off         []netmon.Interface // those that could have links, which are switched off
	rejected    map[string]string
	policies    linkPolicies
	links       map[string]*clientLink // by interface, all that there were
	names       [core.MaxLinks]string  // of the interfaces that have the link IDs
	host        host
	plan        *hostPlan // in force on the host
	warnings    []string  // about the host
	past        Counters  // of sessions and sockets that have ended
	state       State
	reason      string
	unreachable bool // said that no link reaches the server, and none has since
	fatal       error
}

// NewClient makes a client; Run starts it.
func NewClient(cfg *config.Client, o Options) *Client {
	e := new(events)
	return &Client{
		log: e.tap(o.Log), events: e, opts: o, deps: realClient(), clock: newClock(), started: time.Now(),
		wake: make(chan struct{}, 1),
		cfg:  cfg, qos: cfg.QoS, qosVersion: 1,
		rejected: make(map[string]string),
		policies: linkPolicies{set: make(map[string]config.LinkPolicy)},
		links:    make(map[string]*clientLink),
		past:     make(Counters),
		state:    Starting,
	}
}

// Run keeps the tunnel until ctx ends, then undoes what it did to the host. An
// error that wraps ErrMachine says that the machine lacks something.
func (c *Client) Run(ctx context.Context) (err error) {
	var undo undoList
	defer func() { err = errors.Join(err, undo.run()) }()
	changes, err := c.setUp(ctx, &undo)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	for _, q := range c.device.Queues() {
		running.Go(func() { c.readTUN(q) })
	}
	running.Go(func() { c.watch(ctx, changes) })
	running.Go(func() { c.account(ctx) })
	c.opts.ready()
	c.live(ctx)
	cancel()
	_ = c.device.Close()
	running.Wait()
	return c.fatal
}

// setUp makes all that the client needs before it has a session, or nothing.
func (c *Client) setUp(ctx context.Context, undo *undoList) (<-chan []netmon.Interface, error) {
	cfg := c.config()
	if err := c.deps.check(); err != nil {
		return nil, err
	}
	if err := c.openUsage(); err != nil {
		c.log.Warn(err.Error())
	}
	status, err := openStatusSocket(cfg.StatusSocket, c.Status, c.commands(), c.events, c.log)
	if err != nil {
		return nil, err
	}
	undo.add(func() error { status.Close(); return nil })
	metrics, err := openMetrics(cfg.Metrics.Listen, c.Status, c.log)
	if err != nil {
		return nil, err
	}
	undo.add(func() error { metrics.Close(); return nil })
	undo.add(c.undoHost)
	if err := c.openHost(); err != nil {
		return nil, err
	}
	// After the host's own resolver configuration is back, should a crash
	// have left another.
	c.resolver = newResolver(cfg.Server, c.deps.lookup)

	dev, err := c.deps.openTUN(tun.Options{Name: cfg.TUN.Name, MTU: cfg.TUN.MTU, Mode: tun.Mode(cfg.TUN.Mode)})
	if err != nil {
		return nil, explainTUN(err)
	}
	undo.add(ignoreClosed(dev.Close))
	c.mu.Lock() // the status socket is open already
	c.device = dev
	c.mu.Unlock()
	monitor, err := c.deps.newMonitor(c.log)
	if err != nil {
		return nil, err
	}
	undo.add(func() error { monitor.Close(); return nil })
	return monitor.C(), nil
}

// live opens one session after another until ctx ends or the host refuses.
func (c *Client) live(ctx context.Context) {
	const quick = 5 * time.Second // a session this short was not worth opening
	defer func() {
		if s := c.current.Load(); s != nil {
			c.finish(s)
		}
	}()
	first, tries := "", 0
	for ctx.Err() == nil {
		link, conn := c.open(ctx, first)
		if conn == nil {
			return
		}
		began := time.Now()
		s, err := c.begin(conn)
		if err != nil {
			conn.close()
			c.fail(err)
			return
		}
		first = c.keep(ctx, s, link, conn)
		if time.Since(began) > quick {
			tries = 0
			continue
		}
		tries++ // such as two clients with one key that throw each other out
		sleep(ctx, backoff(tries, nil), nil)
	}
}

// candidates lists the usable interfaces, the named one first.
func (c *Client) candidates(first string) []netmon.Interface {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.usable)
	slices.SortStableFunc(list, func(a, b netmon.Interface) int {
		switch {
		case a.Name == first && b.Name != first:
			return -1
		case b.Name == first && a.Name != first:
			return 1
		}
		return 0
	})
	return list
}

// link returns the link of an interface, which it makes if need be; nil when
// there are as many as a session can have.
func (c *Client) link(ifc netmon.Interface) *clientLink {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.links[ifc.Name]
	if l == nil {
		id := slices.Index(c.names[:], "")
		if id < 0 {
			c.rejected[ifc.Name] = fmt.Sprintf("there are %d links already, the most a session can have", core.MaxLinks)
			return nil
		}
		c.names[id] = ifc.Name
		l = &clientLink{client: c, name: ifc.Name, id: core.LinkID(id), control: controlDown, since: time.Now(), kick: make(chan struct{}, 1)}
		c.links[ifc.Name] = l
	}
	l.ifc = ifc
	return l
}

// watch takes in what changes about the interfaces.
func (c *Client) watch(ctx context.Context, changes <-chan []netmon.Interface) {
	for {
		select {
		case list := <-changes:
			c.mu.Lock()
			c.interfaces = list
			c.mu.Unlock()
			c.selectInterfaces()
		case <-ctx.Done():
			return
		}
	}
}

// selectInterfaces decides which interfaces to use, and tells whoever waits.
func (c *Client) selectInterfaces() {
	c.mu.Lock()
	usable, rejected := netmon.Select(c.interfaces, netmon.Filter{
		Allow: c.cfg.Interfaces.Allow, Deny: c.cfg.Interfaces.Deny, Exclude: []string{c.cfg.TUN.Name},
	})
	before := c.usable
	c.usable, c.off = c.dropOff(usable, rejected)
	c.rejected = rejected
	c.logInterfaces(before)
	c.forgetLinks()
	c.mu.Unlock()
	c.setHostLinks()
	c.setState()
	poke(c.wake)
}

// logInterfaces says which interfaces can carry a link since before, and which
// no longer can; with the lock held.
func (c *Client) logInterfaces(before []netmon.Interface) {
	names := interfaceNames(before)
	for _, ifc := range c.usable {
		if !slices.Contains(names, ifc.Name) {
			c.log.Info("link found", "link", ifc.Name)
		}
	}
	names = interfaceNames(c.usable)
	for _, ifc := range before {
		if !slices.Contains(names, ifc.Name) {
			c.log.Info("link gone", "link", ifc.Name, "reason", cmp.Or(c.rejected[ifc.Name], "the interface is gone"))
		}
	}
}

// forgetLinks gives the IDs of links free whose interfaces are gone and which
// nobody runs; with the lock held.
func (c *Client) forgetLinks() {
	for name, l := range c.links {
		gone := !slices.ContainsFunc(c.usable, func(i netmon.Interface) bool { return i.Name == name })
		if gone && !l.running {
			delete(c.links, name)
			c.names[l.id] = ""
		}
	}
}

// readTUN takes packets from a queue of the TUN to the current session.
func (c *Client) readTUN(queue tun.Queue) {
	var batch tun.Batch
	for {
		if err := queue.Read(&batch); err != nil {
			if !isClosed(err) {
				c.log.Error("TUN device failed", "error", err)
			}
			return
		}
		s := c.current.Load()
		if s == nil {
			c.counters.noSession.Add(uint64(len(batch.Packets)))
			continue
		}
		if own := s.fromSelf(batch.Packets); len(own) > 0 {
			s.driver.HandlePackets(own)
		}
	}
}

// config returns the configuration, which Reload replaces and nobody changes.
func (c *Client) config() *config.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cfg
}

// fail ends Run with an error.
func (c *Client) fail(err error) {
	c.mu.Lock()
	c.fatal = err
	c.mu.Unlock()
}

// poke wakes whoever waits on a channel that holds one.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// sleep waits for d, for a poke or for the end of ctx, of which it returns
// false.
func sleep(ctx context.Context, d time.Duration, poked <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-poked:
	case <-ctx.Done():
		return false
	}
	return true
}
