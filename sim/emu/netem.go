package emu

import (
	"errors"
	"fmt"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
)

// netem is the backend in the kernel. Frames that come in at one port are
// redirected to the other (tc-mirred(8)), where the chain of netem_message.go
// impairs them on their way out. Against the user backend it
//
//   - has no traces, no shared bottlenecks and no TAP ports (ErrUnsupported),
//   - takes its random numbers otherwise: the same seed leads to other losses,
//     and before Linux 6.6 to others in each run,
//   - serialises after the delay, in bursts of up to a millisecond,
//   - counts packets in a blackhole as lost and those above the MTU as dropped
//     by the queue, and duplicated, reordered and corrupted ones not at all, and
//   - cannot measure its own lateness.
type netem struct {
	kernel kernel
	before system

	mu     sync.Mutex
	closed bool
	links  map[string]*netemLink
}

// netemLink is one link of the netem backend.
type netemLink struct {
	attached bool
	lanes    [2]netemLane // by Direction
}

// netemLane is one direction: the port it leaves at and what happens there.
type netemLane struct {
	index int
	cfg   link.Config
	seed  uint64
	hole  bool
	past  link.Stats // from before the last Attach
}

// NewNetem starts the backend in the kernel for ports in ns. The handle may be
// closed after the call. Supported says beforehand whether it will work.
func NewNetem(ns netns.NsHandle, _ Options) (Impairer, error) {
	k, err := newNamespaceKernel(ns)
	if err != nil {
		return nil, fmt.Errorf("start the netem backend: %w", err)
	}
	return newNetem(k), nil
}

func newNetem(k kernel) *netem {
	return &netem{kernel: k, before: readSystem(), links: map[string]*netemLink{}}
}

func (n *netem) Attach(spec Spec) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[spec.Link]
	switch {
	case n.closed:
		return ErrClosed
	case l != nil && l.attached:
		return fmt.Errorf("link %s: %w", spec.Link, ErrAttached)
	}
	if err := netemCan(&spec); err != nil {
		return fmt.Errorf("link %s: %w", spec.Link, err)
	}
	client, err := n.kernel.index(spec.Client.Name)
	if err != nil {
		return fmt.Errorf("link %s: %w", spec.Link, err)
	}
	server, err := n.kernel.index(spec.Server.Name)
	if err != nil {
		return fmt.Errorf("link %s: %w", spec.Link, err)
	}
	if l == nil {
		l = &netemLink{}
		l.lanes[Up].seed, l.lanes[Down].seed = spec.UpSeed, spec.DownSeed
		n.links[spec.Link] = l
	}
	up, down := &l.lanes[Up], &l.lanes[Down]
	up.index, up.cfg = server, spec.Up
	down.index, down.cfg = client, spec.Down
	l.attached = true
	err = n.send(append(up.requests(), down.requests()...)...)
	if err == nil {
		err = n.send(ingressRequest(client), redirectRequest(client, server),
			ingressRequest(server), redirectRequest(server, client))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("link %s: %w", spec.Link, err), n.detach(l))
	}
	return nil
}

// netemCan says what of a link the backend cannot do.
func netemCan(spec *Spec) error {
	switch {
	case len(spec.UpShared)+len(spec.DownShared) > 0:
		return fmt.Errorf("bottleneck: %w", ErrUnsupported)
	case spec.Client.TAP != nil || spec.Server.TAP != nil:
		return fmt.Errorf("TAP port: %w", ErrUnsupported)
	}
	return errors.Join(netemCanConfig(&spec.Up), netemCanConfig(&spec.Down))
}

func netemCanConfig(cfg *link.Config) error {
	if cfg.Trace != nil {
		return fmt.Errorf("trace: %w", ErrUnsupported)
	}
	if cfg.BlockUDP {
		return fmt.Errorf("block: %w", ErrUnsupported)
	}
	return nil
}

// requests are the messages that configure a lane.
func (l *netemLane) requests() []*nl.NetlinkRequest {
	return chainRequests(l.index, &l.cfg, l.seed, l.hole)
}

// send executes messages one after the other.
func (n *netem) send(requests ...*nl.NetlinkRequest) error {
	for _, r := range requests {
		if err := n.kernel.execute(r); err != nil {
			return fmt.Errorf("the kernel refused %s: %w", describe(r), err)
		}
	}
	return nil
}

// describe names a message by the kind of object it is about.
func describe(r *nl.NetlinkRequest) string {
	if kind, ok := r.Data[1].(*nl.RtAttr); ok {
		return nl.BytesToString(kind.Data)
	}
	return "a message"
}

func (n *netem) Detach(name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[name]
	if l == nil || !l.attached {
		return fmt.Errorf("detach link %s: %w", name, ErrUnknown)
	}
	return n.detach(l)
}

// detach keeps the counters and removes what Attach made, as far as the
// interfaces are still there.
func (n *netem) detach(l *netemLink) error {
	var errs []error
	for i := range l.lanes {
		lane := &l.lanes[i]
		// An interface that is gone has taken its counters along.
		if s, err := n.stats(lane); err == nil {
			s.DropFlush += uint64(s.Held)
			s.Held, s.QueuedBytes = 0, 0
			lane.past = s
		}
		for _, r := range deleteRequests(lane.index) {
			if err := n.kernel.execute(r); err != nil && !gone(err) {
				errs = append(errs, fmt.Errorf("remove %s: %w", describe(r), err))
			}
		}
	}
	l.attached = false
	return errors.Join(errs...)
}

// gone says whether an error means that there is nothing to remove.
func gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL)
}

func (n *netem) Set(name string, dir Direction, cfg link.Config) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := netemCanConfig(&cfg); err != nil {
		return fmt.Errorf("set link %s: %w", name, err)
	}
	return n.change(name, dir, "set", func(l *netemLane) { l.cfg = cfg })
}

func (n *netem) Blackhole(name string, dir Direction, on bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.change(name, dir, "blackhole on", func(l *netemLane) { l.hole = on })
}

// change applies a change to a lane and tells the kernel.
func (n *netem) change(name string, dir Direction, what string, apply func(*netemLane)) error {
	l := n.links[name]
	switch {
	case n.closed:
		return ErrClosed
	case l == nil:
		return fmt.Errorf("%s link %s: %w", what, name, ErrUnknown)
	}
	lane := &l.lanes[dir]
	apply(lane)
	if !l.attached {
		return nil
	}
	if err := n.send(lane.requests()...); err != nil {
		return fmt.Errorf("%s link %s: %w", what, name, err)
	}
	return nil
}

func (n *netem) Bottleneck(name string, _, _ link.Config) error {
	return fmt.Errorf("bottleneck %s: %w", name, ErrUnsupported)
}

func (n *netem) Stats(name string, dir Direction) (link.Stats, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[name]
	switch {
	case l == nil:
		return link.Stats{}, fmt.Errorf("statistics of link %s: %w", name, ErrUnknown)
	case !l.attached:
		return l.lanes[dir].past, nil
	}
	s, err := n.stats(&l.lanes[dir])
	if err != nil {
		return s, fmt.Errorf("statistics of link %s: %w", name, err)
	}
	return s, nil
}

// stats adds the kernel's counters of a lane to those from before.
func (n *netem) stats(l *netemLane) (link.Stats, error) {
	s := l.past
	list, err := n.kernel.qdiscs(l.index)
	if err != nil {
		return s, err
	}
	for _, q := range list {
		a := q.Attrs()
		if a.Statistics == nil || a.Statistics.Basic == nil || a.Statistics.Queue == nil {
			continue
		}
		switch a.Handle {
		case netemHandle:
			addNetem(&s, a.Statistics)
		case tbfHandle:
			s.DropQueue += uint64(a.Statistics.Queue.Drops)
			s.QueuedBytes = int(a.Statistics.Queue.Backlog)
			s.QueuedMax = max(s.QueuedMax, s.QueuedBytes)
		}
	}
	// What tbf dropped netem has counted too.
	s.DropLoss -= min(s.DropLoss, s.DropQueue-l.past.DropQueue)
	s.PacketsIn = s.PacketsOut + s.Dropped() + uint64(s.Held)
	return s, nil
}

// addNetem adds the counters of the root, through which all packets go.
func addNetem(s *link.Stats, from *netlink.QdiscStatistics) {
	packets := uint64(from.Basic.Packets)
	s.PacketsOut += packets
	s.BytesOut += from.Basic.Bytes - min(from.Basic.Bytes, packets*etherHeader)
	s.DropLoss += uint64(from.Queue.Drops)
	s.Held = int(from.Queue.Qlen)
}

// Health reports only what can be seen from outside: the kernel keeps no
// record of its lateness.
func (n *netem) Health() Health {
	var h Health
	h.since(n.before)
	h.judge()
	return h
}

func (n *netem) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	var errs []error
	for _, l := range n.links {
		if l.attached {
			errs = append(errs, n.detach(l))
		}
	}
	n.kernel.close()
	return errors.Join(errs...)
}
