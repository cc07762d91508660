package emu

import (
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// user is the backend in user space.
type user struct {
	ns     netns.NsHandle
	seed   uint64
	loop   *loop
	ended  chan struct{} // closed when the loop has ended
	before system

	mu          sync.Mutex // serialises the methods; the loop does not take it
	closed      bool
	links       map[string]*pair
	bottlenecks map[string]*[2]*hop // by Direction
	past        portDrops           // of ports that are closed
}

// pair is a link: its two lanes, and its ports while it is attached.
type pair struct {
	lanes [2]*lane // by Direction
	ports []port   // client's, server's
}

// NewUser starts the user space backend for ports in ns. The handle may be
// closed after the call.
//
// The emulator's thread competes with the rest of the process and of the
// machine: see package tune.
func NewUser(ns netns.NsHandle, opts Options) (Impairer, error) {
	own, err := duplicate(ns)
	if err != nil {
		return nil, err
	}
	l, err := newLoop(opts)
	if err != nil {
		own.Close()
		return nil, fmt.Errorf("start the emulator: %w", err)
	}
	u := &user{
		ns: own, seed: opts.Seed, loop: l, ended: make(chan struct{}), before: readSystem(),
		links: map[string]*pair{}, bottlenecks: map[string]*[2]*hop{},
	}
	nsdo.OnThread(func() {
		defer close(u.ended)
		l.run()
	})
	return u, nil
}

// do runs fn on the loop's thread, or here when the loop has ended. The caller
// holds u.mu.
func (u *user) do(fn func()) {
	if u.hasEnded() {
		fn()
		return
	}
	done := make(chan struct{})
	u.loop.commands <- func() { fn(); close(done) }
	// A full counter wakes as well: the error does not matter.
	unix.Write(u.loop.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	select {
	case <-done:
		return
	case <-u.ended:
	}
	select {
	case command := <-u.loop.commands:
		command()
	default: // the loop ran it before it ended
	}
}

// hasEnded says whether the loop has.
func (u *user) hasEnded() bool {
	select {
	case <-u.ended:
		return true
	default:
		return false
	}
}

// usable says why a link cannot be attached or changed now.
func (u *user) usable() error {
	if u.closed {
		return ErrClosed
	}
	if u.hasEnded() {
		return fmt.Errorf("the emulator ended: %w", u.loop.failure)
	}
	return nil
}

func (u *user) Attach(spec Spec) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := errors.Join(u.usable(), checkConfig(spec.Link, &spec.Up), checkConfig(spec.Link, &spec.Down)); err != nil {
		return err
	}
	p := u.links[spec.Link]
	if p != nil && p.ports != nil {
		return fmt.Errorf("link %s: %w", spec.Link, ErrAttached)
	}
	upShared, err := u.shared(spec.Link, spec.UpShared, Up)
	if err != nil {
		return err
	}
	downShared, err := u.shared(spec.Link, spec.DownShared, Down)
	if err != nil {
		return err
	}
	ports, err := u.openPorts(spec)
	if err != nil {
		return fmt.Errorf("link %s: %w", spec.Link, err)
	}
	u.do(func() {
		if p == nil {
			p = &pair{lanes: [2]*lane{
				u.loop.newLane(spec.Link, Up, spec.UpSeed),
				u.loop.newLane(spec.Link, Down, spec.DownSeed),
			}}
			u.links[spec.Link] = p
		}
		p.ports = ports
		up, down := p.lanes[Up], p.lanes[Down]
		up.hops = append([]*hop{up.own}, upShared...)
		down.hops = append(downShared, down.own)
		u.loop.set(up.own, spec.Up)
		u.loop.set(down.own, spec.Down)
		u.loop.direct(up, ports[1])
		u.loop.direct(down, ports[0])
		u.loop.open(up, ports[0])
		u.loop.open(down, ports[1])
	})
	return nil
}

// shared finds the bottlenecks that a link names.
func (u *user) shared(name string, names []string, dir Direction) (hops []*hop, err error) {
	for _, n := range names {
		b := u.bottlenecks[n]
		if b == nil {
			return nil, fmt.Errorf("link %s: bottleneck %s: %w", name, n, ErrUnknown)
		}
		hops = append(hops, b[dir])
	}
	return hops, nil
}

// openPorts opens the client's port and the server's.
func (u *user) openPorts(spec Spec) (ports []port, err error) {
	for _, p := range []Port{spec.Client, spec.Server} {
		if p.TAP != nil {
			ports = append(ports, p.TAP)
			continue
		}
		s, err := openPacketSocket(u.ns, p.Name)
		if err != nil {
			for i, opened := range ports {
				if tap := []Port{spec.Client, spec.Server}[i].TAP; tap == nil {
					opened.close()
				}
			}
			return nil, err
		}
		ports = append(ports, s)
	}
	return ports, nil
}

func (u *user) Detach(name string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.links[name]
	if p == nil || p.ports == nil {
		return fmt.Errorf("detach link %s: %w", name, ErrUnknown)
	}
	return u.detach(p)
}

// detach ends a link and closes its ports.
func (u *user) detach(p *pair) error {
	u.do(func() {
		u.loop.cut(p.lanes[Up])
		u.loop.cut(p.lanes[Down])
	})
	var errs []error
	for _, port := range p.ports {
		// What an interface that is gone has lost cannot be asked any more.
		if d, err := port.drops(); err == nil {
			u.past.add(d)
		}
		errs = append(errs, port.close())
	}
	p.ports = nil
	return errors.Join(errs...)
}

func (u *user) Set(name string, dir Direction, cfg link.Config) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.links[name]
	switch {
	case p == nil:
		return fmt.Errorf("set link %s: %w", name, ErrUnknown)
	case u.usable() != nil:
		return u.usable()
	}
	if err := checkConfig(name, &cfg); err != nil {
		return err
	}
	u.do(func() { u.loop.set(p.lanes[dir].own, cfg) })
	return nil
}

func (u *user) Blackhole(name string, dir Direction, on bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.links[name]
	switch {
	case p == nil:
		return fmt.Errorf("blackhole on link %s: %w", name, ErrUnknown)
	case u.usable() != nil:
		return u.usable()
	}
	u.do(func() { p.lanes[dir].own.model.Blackhole(on) })
	return nil
}

func (u *user) Bottleneck(name string, up, down link.Config) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := errors.Join(u.usable(), checkConfig(name, &up), checkConfig(name, &down)); err != nil {
		return err
	}
	u.do(func() {
		b := u.bottlenecks[name]
		if b == nil {
			b = &[2]*hop{u.loop.newHop(u.bottleneckSeed(name, Up)), u.loop.newHop(u.bottleneckSeed(name, Down))}
			u.bottlenecks[name] = b
		}
		u.loop.set(b[Up], up)
		u.loop.set(b[Down], down)
	})
	return nil
}

// bottleneckSeed derives the seed of one direction of a bottleneck.
func (u *user) bottleneckSeed(name string, dir Direction) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%s", u.seed, name, dir)
	return h.Sum64()
}

func (u *user) Stats(name string, dir Direction) (s link.Stats, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.links[name]; p != nil {
		u.do(func() { s = p.lanes[dir].stats() })
		return s, nil
	}
	if b := u.bottlenecks[name]; b != nil {
		u.do(func() { s = b[dir].model.Stats() })
		return s, nil
	}
	return s, fmt.Errorf("statistics of %s: %w", name, ErrUnknown)
}

func (u *user) Health() Health {
	u.mu.Lock()
	defer u.mu.Unlock()
	var h Health
	lateness := newLateness()
	u.do(func() {
		lateness.Merge(u.loop.lateness)
		h.Drops = u.loop.drops
		h.Reserved = u.loop.reserved
		for _, hop := range u.loop.hops {
			s := hop.model.Stats()
			h.Drops.Memory += s.DropLimit
		}
		for _, p := range u.links {
			for _, l := range p.lanes {
				h.RateError = max(h.RateError, l.drift.worst)
			}
		}
	})
	h.fill(lateness)
	h.since(u.before)
	lost := u.past
	for _, p := range u.links {
		for _, port := range p.ports {
			d, err := port.drops()
			if err != nil {
				h.breach("the drops of a port of link %s are not known: %v", p.lanes[Up].link, err)
			}
			lost.add(d)
		}
	}
	h.Drops.Socket += lost.socket
	h.Drops.Device += lost.device
	if !u.closed && u.hasEnded() {
		h.breach("the emulator ended: %v", u.loop.failure)
	}
	h.judge()
	return h
}

func (u *user) Close() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil
	}
	u.closed = true
	var errs []error
	for _, p := range u.links {
		if p.ports != nil {
			errs = append(errs, u.detach(p))
		}
	}
	u.do(func() { u.loop.stopped = true })
	<-u.ended
	errs = append(errs, unix.Close(u.loop.wake), u.ns.Close())
	return errors.Join(errs...)
}
