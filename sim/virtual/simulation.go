package virtual

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/wire"
	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Config is what a simulation is made of.
type Config struct {
	Seed        uint64
	Links       []scenario.Link
	Bottlenecks []scenario.Bottleneck
	OuterIPv6   bool // the underlay's family
	MTU         int  // inner, in bytes; 0: wire.DefaultMTU
	// Client and Server are how the two ends work.
	Client, Server Strategy
	// Observe, if it is set, sees every outer packet that enters a link model
	// or arrives. Data is borrowed.
	Observe func(Packet)
}

// Packet is an outer packet as the log sees it.
type Packet struct {
	At        time.Duration // since the simulation was made
	Link      string
	Direction Direction
	// Arrived: it has come through; else it has just come to a model of its
	// way, which said Verdict.
	Arrived bool
	Verdict link.Verdict
	Size    int    // of the outer IP packet, in bytes
	Data    []byte // the datagram's payload, or the whole packet past the tunnel
}

// Counters count what happened outside of the sessions and the link models.
type Counters struct {
	Events      uint64 `json:"events"`      // steps of the loop
	Unreachable uint64 `json:"unreachable"` // datagrams to an address the client has no more
	Detached    uint64 `json:"detached"`    // packets for a link that is not there
	NoSession   uint64 `json:"no_session"`  // datagrams of a control connection that has ended
	NoRoute     uint64 `json:"no_route"`    // packets nobody has the address of
}

// Simulation is one client, one server, the links between them and two hosts
// behind the server, in virtual time. Nothing in it happens outside of calls
// to its methods. It is not safe for concurrent use.
type Simulation struct {
	cfg         Config
	clock       clock
	lane        *lane
	links       []*Link
	bottlenecks []*bottleneck
	stages      []*stage
	ends        [2]*end
	client      *machine
	hosts       [2]*machine
	origin      int64 // where the time of the run begins
	ports       uint16
	sockets     int // made so far
	spare       []*parcel
	sum         uint64 // of the packet log
	counters    Counters
	recovery    recovery
	err         error

	// dirty: a TCP stack may have something to do.
	dirty bool
	ready readyList
}

// readyList holds the sockets whose owners are to be called; gVisor's
// goroutines add to it.
type readyList struct {
	mu      sync.Mutex
	sockets []*socket
}

// ErrProcessors says that a simulation was begun where it would not be
// deterministic.
var ErrProcessors = errors.New("a simulation needs a process with runtime.GOMAXPROCS(1): use virtual.Exec")

// ErrStuck says that a session asked to be called again and again at the same
// moment.
var ErrStuck = errors.New("time stands still")

// New makes a simulation. Its links that are present begin to connect.
func New(cfg Config) (*Simulation, error) {
	if runtime.GOMAXPROCS(0) != 1 {
		return nil, ErrProcessors
	}
	if len(cfg.Links) > core.MaxLinks {
		return nil, fmt.Errorf("%d links: at most %d", len(cfg.Links), core.MaxLinks)
	}
	if cfg.MTU == 0 {
		cfg.MTU = wire.DefaultMTU
	}
	s := &Simulation{cfg: cfg, ports: firstPort, sum: logSeed}
	s.lane = s.clock.newLane()
	for _, conf := range cfg.Bottlenecks {
		b, err := s.newBottleneck(conf)
		if err != nil {
			return nil, err
		}
		s.bottlenecks = append(s.bottlenecks, b)
	}
	for i, conf := range cfg.Links {
		l, err := s.newLink(i, conf)
		if err != nil {
			return nil, err
		}
		s.links = append(s.links, l)
	}
	if err := s.newEnds(); err != nil {
		return nil, err
	}
	for _, l := range s.links {
		if l.conf.Present {
			l.attach()
		}
	}
	return s, nil
}

// newEnds makes the two ends of the tunnel and the machines beyond.
func (s *Simulation) newEnds() error {
	for i, st := range [...]Strategy{client: s.cfg.Client, server: s.cfg.Server} {
		var err error
		if s.ends[i], err = s.newEnd(i, st, time.Duration(1+6*i)*time.Hour); err != nil {
			return err
		}
	}
	if err := s.newMachines(); err != nil {
		s.Close()
		return err
	}
	return nil
}

// Close ends the TCP stacks. The simulation cannot be used afterwards.
func (s *Simulation) Close() {
	for _, m := range []*machine{s.client, s.hosts[0], s.hosts[1]} {
		if m != nil {
			m.close()
		}
	}
}

// Now is the time of the run: since Start, or since New before it was called.
func (s *Simulation) Now() time.Duration { return time.Duration(s.clock.now - s.origin) }

// After calls f when d has passed.
func (s *Simulation) After(d time.Duration, f func()) { s.after(d, f) }

func (s *Simulation) after(d time.Duration, f func()) { s.lane.AfterFunc(d, f) }

// at calls f at a time of the run.
func (s *Simulation) at(t time.Duration, f func()) { s.after(t-s.Now(), f) }

// fail ends the simulation with an error, the first of them.
func (s *Simulation) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Link returns the link of a name, nil if there is none.
func (s *Simulation) Link(name string) *Link {
	i := slices.IndexFunc(s.links, func(l *Link) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return s.links[i]
}

// Client and Server are what the two sessions believe now.
func (s *Simulation) Client() session.Snapshot { return s.ends[client].snapshot() }
func (s *Simulation) Server() session.Snapshot { return s.ends[server].snapshot() }

// Counters are the simulation's own counters.
func (s *Simulation) Counters() Counters { return s.counters }

// Sum is a checksum of the packet log so far: every packet that entered a link
// model or arrived, with its time, size and fate.
func (s *Simulation) Sum() uint64 { return s.sum }

// Start lets the links that are plugged in come up, for limit at most, and
// begins the time of the run. It tells whether all came up.
func (s *Simulation) Start(ctx context.Context, limit time.Duration) (bool, error) {
	up := func() bool {
		for _, e := range s.ends {
			n := 0
			for _, l := range e.snapshot().Links {
				if l.State == "up" {
					n++
				}
			}
			for _, l := range s.links {
				if l.attached {
					n--
				}
			}
			if n < 0 {
				return false
			}
		}
		return true
	}
	ok, err := s.Until(ctx, up, limit)
	s.origin = s.clock.now
	return ok, err
}

// Until runs until a condition holds, for limit at most, and tells whether it
// does. The condition is looked at every millisecond.
func (s *Simulation) Until(ctx context.Context, condition func() bool, limit time.Duration) (bool, error) {
	for end := s.clock.now + int64(limit); !condition(); {
		if s.clock.now >= end {
			return false, nil
		}
		if err := s.run(ctx, min(end, s.clock.now+int64(time.Millisecond))); err != nil {
			return false, err
		}
	}
	return true, nil
}

// RunUntil runs until a time of the run.
func (s *Simulation) RunUntil(ctx context.Context, t time.Duration) error {
	return s.run(ctx, s.origin+int64(t))
}

// Bounds of one run of the loop.
const (
	// maxStill is how many events may happen at one moment.
	maxStill = 300_000
	// lookAtContext is after how many events it is looked whether the
	// context has ended.
	lookAtContext = 4096
)

// run runs until a time of the clock. What happens then is left to the next
// run.
func (s *Simulation) run(ctx context.Context, until int64) error {
	still := 0
	for s.err == nil {
		at, who := s.nextEvent()
		if at >= until {
			s.clock.advance(until)
			return nil
		}
		if still++; at > s.clock.now {
			still = 0
		}
		if still > maxStill {
			return fmt.Errorf("%w at %s: %s", ErrStuck, s.Now(), who)
		}
		s.clock.advance(at)
		if s.counters.Events++; s.counters.Events%lookAtContext == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		s.happen(who)
		if s.dirty {
			s.settle()
		}
	}
	return s.err
}

// occurrence is a source of events: a stage by its index, one of the sessions,
// or the timers.
type occurrence int

const (
	timers occurrence = -3
	// An end's session is -2 (client) or -1 (server).
	sessions occurrence = -2
)

func (o occurrence) String() string {
	switch o {
	case timers:
		return "timers"
	case sessions + client:
		return "the client's session"
	case sessions + server:
		return "the server's session"
	}
	return fmt.Sprintf("link model %d", int(o))
}

// nextEvent says what happens next. Of several things at the same moment it
// is always the same that comes first.
func (s *Simulation) nextEvent() (at int64, who occurrence) {
	at, who = s.clock.next(), timers
	for i, st := range s.stages {
		if st.next < at {
			at, who = st.next, occurrence(i)
		}
	}
	for i, e := range s.ends {
		if e.next < at {
			at, who = e.next, sessions+occurrence(i)
		}
	}
	return at, who
}

func (s *Simulation) happen(who occurrence) {
	switch {
	case who == timers:
		if f, ok := s.clock.pop(); ok {
			f()
			s.yield()
		}
	case who < 0:
		s.ends[who-sessions].timeout()
	default:
		s.stages[who].step()
	}
}

// yield lets the goroutines of the TCP stacks run until they have nothing to
// do. It must follow everything that can wake one of them at once: where this
// goroutine is preempted is up to the runtime, so nothing that matters may
// happen between a stack's goroutine being woken and its having run. Once is
// not enough: the runtime looks at the queue that this goroutine waits in first
// every 61st time.
func (s *Simulation) yield() {
	s.dirty = true
	runtime.Gosched()
	runtime.Gosched()
}

// settle lets the applications work and sends what the stacks put out until
// there is nothing more to do at this moment.
func (s *Simulation) settle() {
	for rounds := 0; s.dirty; rounds++ {
		if rounds > maxStill {
			s.fail(fmt.Errorf("%w at %s: the hosts", ErrStuck, s.Now()))
			return
		}
		s.dirty = false
		for _, socket := range s.takeReady() {
			socket.ready()
			s.dirty = true
		}
		s.client.flush()
		for _, h := range s.hosts {
			h.flush()
		}
	}
}

// takeReady takes the sockets whose owners are to be called, in the order in
// which they were made.
func (s *Simulation) takeReady() []*socket {
	r := &s.ready
	r.mu.Lock()
	list := r.sockets
	r.sockets = nil
	for _, socket := range list {
		socket.listed = false
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b *socket) int { return a.number - b.number })
	return list
}

// The checksum of the packet log is FNV-1a over words of 64 bits.
const (
	logSeed  = 14695981039346656037
	logPrime = 1099511628211
)

// note writes a parcel's fate to the log.
func (s *Simulation) note(p *parcel, verdict link.Verdict) {
	for _, word := range [...]uint64{
		uint64(s.clock.now), uint64(p.link.index)<<32 | uint64(p.direction)<<24 | uint64(p.hop)<<16 | uint64(verdict), uint64(p.size),
	} {
		s.sum = (s.sum ^ word) * logPrime
	}
	if s.cfg.Observe == nil {
		return
	}
	seen := Packet{
		At: time.Duration(s.clock.now), Link: p.link.Name, Direction: p.direction,
		Size: p.size, Data: p.data,
	}
	if verdict == arrived {
		seen.Arrived = true
	} else {
		seen.Verdict = verdict
	}
	s.cfg.Observe(seen)
}
