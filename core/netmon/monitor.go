package netmon

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Options are how a Monitor works. The zero value is what the product uses.
type Options struct {
	// Poll is how often everything is read without an event; 0 is 3 s.
	Poll time.Duration
	// Settle is the pause after an event in which further ones are waited
	// for: changes come in groups. That an interface can pass no more packets
	// is told before it. 0 is 50 ms.
	Settle time.Duration
	// Logger takes failures to read; nil for none.
	Logger *slog.Logger
}

const (
	defaultPoll   = 3 * time.Second
	defaultSettle = 50 * time.Millisecond
)

// groups are the events that can change a snapshot, rtnetlink(7).
const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// Monitor tells of changes to the interfaces of one network namespace.
type Monitor struct {
	opts    Options
	handle  *netlink.Handle // for dumps
	events  *mdnetlink.Conn
	links   chan struct{} // capacity 1: an interface changed
	wake    chan struct{} // capacity 1: something else changed
	out     chan []Interface
	done    chan struct{}
	running sync.WaitGroup
	closing sync.Once
}

// New starts to watch the network namespace of the calling thread. The first
// snapshot is there at once.
func New(opts Options) (*Monitor, error) {
	if opts.Poll == 0 {
		opts.Poll = defaultPoll
	}
	if opts.Settle == 0 {
		opts.Settle = defaultSettle
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netmon: netlink: %w", err)
	}
	// Events are subscribed to before the first dump: no change falls
	// between the two.
	events, err := mdnetlink.Dial(unix.NETLINK_ROUTE, &mdnetlink.Config{Groups: groups})
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("netmon: subscribe to network changes: %w", err)
	}
	first, err := dump(handle)
	if err != nil {
		handle.Close()
		return nil, errors.Join(err, events.Close())
	}
	m := &Monitor{
		opts: opts, handle: handle, events: events,
		links: make(chan struct{}, 1), wake: make(chan struct{}, 1), out: make(chan []Interface, 1), done: make(chan struct{}),
	}
	m.out <- first
	m.running.Go(m.listen)
	m.running.Go(func() { m.watch(first) })
	return m, nil
}

// C returns where snapshots come, sorted by index: one at the start, then one
// after each change. A snapshot that was not taken yet is replaced by a newer
// one. It must not be changed. The channel is closed by Close.
func (m *Monitor) C() <-chan []Interface { return m.out }

// Close ends the monitor and waits for its goroutines.
func (m *Monitor) Close() {
	m.closing.Do(func() {
		close(m.done)
		if err := m.events.Close(); err != nil {
			m.opts.Logger.Debug("close network events", "err", err)
		}
		m.running.Wait()
		m.handle.Close()
		close(m.out)
	})
}

// listen turns events into wake-ups until the socket is closed.
func (m *Monitor) listen() {
	for {
		messages, err := m.events.Receive()
		ofLink := slices.ContainsFunc(messages, func(n mdnetlink.Message) bool {
			return n.Header.Type == unix.RTM_NEWLINK || n.Header.Type == unix.RTM_DELLINK
		})
		switch {
		case err == nil, errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOBUFS):
			// The kernel dropped events. Which ones does not matter.
			m.opts.Logger.Debug("network events were lost, reading everything")
			ofLink = true
		case m.closed():
			return
		default:
			m.opts.Logger.Warn("network events ended, changes are found by polling", "every", m.opts.Poll, "err", err)
			return
		}
		changed := m.wake
		if ofLink {
			changed = m.links
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

func (m *Monitor) closed() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// watch reads everything after a poll, or an event and the pause, and publishes what
// differs from last. Whether an interface is lost it looks at once.
func (m *Monitor) watch(last []Interface) {
	poll := time.NewTicker(m.opts.Poll)
	defer poll.Stop()
	look := func(matters func(before, now []Interface) bool) {
		now, err := dump(m.handle)
		if err != nil {
			m.opts.Logger.Warn("read network interfaces", "err", err)
			return
		}
		if matters(last, now) {
			last = now
			m.publish(now)
		}
	}
	var settled <-chan time.Time // the end of the pause; nil outside of one
	settle := func() {
		if settled == nil {
			settled = time.After(m.opts.Settle)
		}
	}
	for {
		select {
		case <-m.done:
			return
		case <-poll.C:
			if settled == nil { // its end looks, too
				look(differ)
			}
		case <-settled:
			settled = nil
			look(differ)
		case <-m.links:
			look(lost)
			settle()
		case <-m.wake:
			settle()
		}
	}
}

func differ(before, now []Interface) bool { return !reflect.DeepEqual(before, now) }

// lost says that an interface that could pass packets no longer can.
func lost(before, now []Interface) bool {
	return slices.ContainsFunc(before, func(b Interface) bool {
		same := func(n Interface) bool { return n.Index == b.Index && n.Name == b.Name && n.Up && n.Carrier }
		return b.Up && b.Carrier && !slices.ContainsFunc(now, same)
	})
}

// publish leaves a snapshot in the channel. It is the only sender, so after
// taking out an older one there is room.
func (m *Monitor) publish(ifs []Interface) {
	select {
	case <-m.out:
	default:
	}
	m.out <- ifs
}
