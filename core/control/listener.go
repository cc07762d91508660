package control

import (
	"container/list"
	"context"
	"errors"

	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what clients that are not known yet can cost a server. A zero
// field means its default.
type Limits struct {
	// HalfOpen bounds the connections whose Hello has not come, each of which
	// costs up to about 40 KB; default 2048. When it is reached, the oldest
	// connection of the source with most of them is closed. PerSource bounds
	// them for one source (an IPv4 address or an IPv6 /64); default 1024, so
	// that a thousand clients behind one address can come at once.
	HalfOpen, PerSource int
	// Rate is how many connections per second a source may begin, and Burst
	// how many at once; default 200 and 2000. Clients behind one translated
	// address are one source.
	Rate  float64
	Burst int
	// Computing bounds the handshakes that use a processor at the same time;
	// default half the processors, at least 1.
	Computing int
	// Timeout bounds the time from accepting a connection to its Hello;
	// default HandshakeTimeout.
	Timeout time.Duration
}

// Bounds that nobody needs to choose.
const (
	knownSources = 4096 // sources whose rate is remembered
	readyQueue   = 64   // clients that wait for Accept
	maxBackoff   = time.Second
)

func (l Limits) withDefaults() Limits {
	l.HalfOpen = defaulted(l.HalfOpen, 2048)
	l.PerSource = defaulted(l.PerSource, 1024)
	l.Rate = defaulted(l.Rate, 200)
	l.Burst = defaulted(l.Burst, 2000)
	l.Computing = defaulted(l.Computing, max(1, runtime.GOMAXPROCS(0)/2))
	l.Timeout = defaulted(l.Timeout, HandshakeTimeout)
	return l
}

func defaulted[T int | float64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// ListenerCounters count what became of the connections to a Listener.
type ListenerCounters struct {
	Accepted       uint64 `json:"accepted"`        // by the socket
	Completed      uint64 `json:"completed"`       // known client, good Hello
	RefusedRate    uint64 `json:"refused_rate"`    // its source connects too often
	EvictedSource  uint64 `json:"evicted_source"`  // its source has too many half-open ones
	EvictedTotal   uint64 `json:"evicted_total"`   // there are too many half-open ones
	UnknownClient  uint64 `json:"unknown_client"`  // key not configured
	PinnedOther    uint64 `json:"pinned_other"`    // expects another server key
	OtherVersion   uint64 `json:"other_version"`   // of the protocol
	Malformed      uint64 `json:"malformed"`       // no good Hello
	TimedOut       uint64 `json:"timed_out"`       // no Hello in time
	Failed         uint64 `json:"failed"`          // anything else before the Hello
	Busy           uint64 `json:"busy"`            // known client, but too many wait for Accept
	AcceptErrors   uint64 `json:"accept_errors"`   // of the socket
	UnloggedEvents uint64 `json:"unlogged_events"` // log lines left out for their number
}

// Listener is a server's source of clients. It never stops accepting: who
// costs too much is refused, and what is refused is counted.
type Listener struct {
	inner  net.Listener
	hs     handshaker
	log    *slog.Logger
	logs   *rate.Limiter
	ctx    context.Context
	cancel context.CancelFunc
	ready  chan accepted
	done   sync.WaitGroup

	mu       sync.Mutex
	halfOpen halfOpen
	rates    *rates
	counters ListenerCounters
}

type accepted struct {
	conn  *Conn
	hello Hello
}

// NewListener starts to take clients from inner, which it owns from now on.
// allow is called from several goroutines.
func NewListener(inner net.Listener, key PrivateKey, allow func(PublicKey) bool, limits Limits, log *slog.Logger) (*Listener, error) {
	cert, err := certificate(key)
	if err != nil {
		return nil, err
	}
	limits = limits.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	l := &Listener{
		inner: inner,
		hs: handshaker{
			cert: cert, public: key.Public(), allow: allow,
			gate: make(gate, limits.Computing), timeout: limits.Timeout,
		},
		log:      log,
		logs:     rate.NewLimiter(1, 20),
		ctx:      ctx,
		cancel:   cancel,
		ready:    make(chan accepted, readyQueue),
		halfOpen: halfOpen{limit: limits.HalfOpen, perSource: limits.PerSource, sources: map[source]*list.List{}},
		rates:    newRates(limits.Rate, limits.Burst, knownSources),
	}
	l.done.Go(l.accept)
	return l, nil
}

// Accept waits for the next client whose key is known and whose Hello has
// come. The caller answers with Welcome or Reject. After Close the error is
// net.ErrClosed.
func (l *Listener) Accept(ctx context.Context) (*Conn, Hello, error) {
	if l.ctx.Err() != nil {
		return nil, Hello{}, net.ErrClosed
	}
	select {
	case a := <-l.ready:
		return a.conn, a.hello, nil
	case <-l.ctx.Done():
		return nil, Hello{}, net.ErrClosed
	case <-ctx.Done():
		return nil, Hello{}, ctx.Err()
	}
}

// Addr returns the address that the Listener accepts on.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Counters returns the counts so far.
func (l *Listener) Counters() ListenerCounters {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counters
}

// Close stops accepting and closes every connection that Accept has not
// returned.
func (l *Listener) Close() error {
	l.cancel()
	err := l.inner.Close()
	l.done.Wait()
	for {
		select {
		case a := <-l.ready:
			a.conn.Close()
		default:
			return err
		}
	}
}

func (l *Listener) accept() {
	backoff := time.Duration(0)
	for {
		nc, err := l.inner.Accept()
		if l.ctx.Err() != nil {
			if err == nil {
				nc.Close()
			}
			return
		}
		if err == nil {
			backoff = 0
			l.admit(nc)
			continue
		}
		// Such as too many open files: it passes, so keep trying.
		l.count(&l.counters.AcceptErrors)
		l.warn("cannot accept control connections", err)
		backoff = min(max(2*backoff, 5*time.Millisecond), maxBackoff)
		select {
		case <-time.After(backoff):
		case <-l.ctx.Done():
			return
		}
	}
}

// admit starts the handshake of a new connection if the bounds allow it.
func (l *Listener) admit(nc net.Conn) {
	p := &pending{conn: nc, from: sourceOf(nc.RemoteAddr())}
	l.mu.Lock()
	l.counters.Accepted++
	if !l.rates.allow(p.from, time.Now()) {
		l.counters.RefusedRate++
		l.mu.Unlock()
		nc.Close()
		return
	}
	evicted, own := l.halfOpen.add(p)
	if evicted != nil && own {
		l.counters.EvictedSource++
	} else if evicted != nil {
		l.counters.EvictedTotal++
	}
	l.mu.Unlock()
	if evicted != nil {
		evicted.conn.Close()
	}
	l.done.Go(func() { l.serve(p) })
}

func (l *Listener) serve(p *pending) {
	conn, hello, err := l.hs.handshake(l.ctx, p.conn)
	l.mu.Lock()
	l.halfOpen.remove(p)
	evicted := p.evicted
	l.mu.Unlock()
	switch {
	case err == nil:
		l.deliver(accepted{conn, hello})
	case !evicted && l.ctx.Err() == nil:
		l.fail(err)
	}
}

// deliver hands a client over to Accept.
func (l *Listener) deliver(a accepted) {
	select {
	case l.ready <- a:
		l.count(&l.counters.Completed)
	default:
		l.count(&l.counters.Busy)
		err := reject(a.conn, CodeBusy, "the server has too many clients that connect at the same time: try again")
		l.warn("client turned away: too many connect at the same time", err)
	}
}

// fail counts a handshake that did not succeed, and tells whom it may concern.
func (l *Listener) fail(err error) {
	var (
		unknown *UnknownClientError
		pinned  *PinnedOtherError
		version *VersionError
	)
	switch {
	case errors.As(err, &unknown):
		l.count(&l.counters.UnknownClient)
	case errors.As(err, &pinned):
		l.count(&l.counters.PinnedOther)
	case errors.As(err, &version):
		l.count(&l.counters.OtherVersion)
	case errors.Is(err, ErrMalformed):
		l.count(&l.counters.Malformed)
	case errors.Is(err, ErrTimeout):
		l.count(&l.counters.TimedOut)
	default:
		// Scanners and broken connections: nothing for the administrator to do.
		l.count(&l.counters.Failed)
		l.log.Debug("control connection failed", "error", err)
		return
	}
	l.warn("control connection refused", err)
}

// warn logs, but not as often as strangers can make it happen.
func (l *Listener) warn(text string, err error) {
	if !l.logs.Allow() {
		l.count(&l.counters.UnloggedEvents)
		return
	}
	l.log.Warn(text, "error", err)
}

func (l *Listener) count(c *uint64) {
	l.mu.Lock()
	*c++
	l.mu.Unlock()
}
