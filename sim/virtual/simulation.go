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
	// rested is when the stacks last had nothing to do, in real time.
	rested    time.Time
	collector collector
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

// after calls f when d has passed.
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
