package virtual

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Traffic is one generator with its meter in a Simulation.
type Traffic struct {
	scenario.Traffic
	// Warmup is left out of goodput, from the start of this traffic on.
	Warmup time.Duration

	sim       *Simulation
	until     time.Duration // when the run ends
	generator generator
}

// generator is one kind of traffic at work. Its methods are called in the
// simulation's loop.
type generator interface {
	// start begins to send, at the traffic's start.
	start() error
	// finished says that all is done before the traffic's end.
	finished() bool
	// stop ends it, at the traffic's end. Answers may still come for a while.
	stop()
	// outcome gives what was found, once, at the end.
	outcome() meter.Outcome
}

// ErrUnsupported says that virtual time cannot have what is asked for.
var ErrUnsupported = errors.New("not in virtual time")

// Congestion control of the inner TCP.
const defaultCC = "cubic"

// checkTraffic says whether a traffic can run.
func checkTraffic(t scenario.Traffic) error {
	switch {
	case t.Via.Kind == "mptcp":
		return fmt.Errorf("traffic %s: mptcp is %w", t.Name, ErrUnsupported)
	case t.CC != "" && t.CC != defaultCC && t.CC != "reno":
		return fmt.Errorf("traffic %s: the congestion control %s is %w: its TCP stack has cubic and reno", t.Name, t.CC, ErrUnsupported)
	}
	return nil
}

// AddTraffic makes a traffic that runs from its start to its end, at most to
// until. Both are times of the run.
func (s *Simulation) AddTraffic(t scenario.Traffic, warmup, until time.Duration) (*Traffic, error) {
	if err := checkTraffic(t); err != nil {
		return nil, err
	}
	tr := &Traffic{Traffic: t, Warmup: warmup, sim: s, until: until}
	var err error
	switch t.Kind {
	case "tcp":
		tr.generator, err = tr.perDirection(newBulk)
	case "udp":
		tr.generator, err = tr.perDirection(newDatagrams)
	case "rtp":
		tr.generator, err = newPhones(tr)
	case "ping":
		tr.generator, err = newPinger(tr)
	case "http":
		tr.generator, err = newDownloads(tr)
	case "dns":
		tr.generator, err = newAsker(tr)
	default:
		err = fmt.Errorf("kind %q is %w", t.Kind, ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("traffic %s: %w", t.Name, err)
	}
	s.at(t.Start, func() {
		if err := tr.generator.start(); err != nil {
			s.fail(fmt.Errorf("traffic %s: %w", t.Name, err))
		}
	})
	s.at(tr.end(), tr.generator.stop)
	return tr, nil
}

// Outcome is what the traffic found; it is called once, when it has ended.
func (t *Traffic) Outcome() meter.Outcome { return t.generator.outcome() }

// finished says that the traffic has ended, or has done all it had to.
func (t *Traffic) finished() bool { return t.now() >= t.end() || t.generator.finished() }

// end is when the traffic stops, done or not.
func (t *Traffic) end() time.Duration { return t.End(t.until) }

func (t *Traffic) now() time.Duration { return t.sim.Now() }

// warm is when the warm-up of this traffic ends.
func (t *Traffic) warm() time.Duration { return t.Start + t.Warmup }

// delivered is what meters found of the traffic, which was over at end.
func (t *Traffic) delivered(end time.Duration, meters ...*meter.Meter) meter.Delivery {
	return meter.Delivery{Total: meter.Sum(meters...), Start: t.Start, Warm: t.warm(), End: end}
}

// The ports of the hosts' services are given out in order.
const firstPort = 20000

// host is the machine behind the server that the traffic is with.
func (t *Traffic) host() *machine { return t.sim.hosts[t.To-1] }

// service is a fresh address on that machine, and the interface by which the
// client reaches it.
func (t *Traffic) service() (tcpip.NICID, netip.AddrPort) {
	t.sim.ports++
	address := netip.AddrPortFrom(t.pick(hostAddresses(t.To)), t.sim.ports)
	if t.Via.Kind == "link" {
		return underlayNIC, address
	}
	return tunnelNIC, address
}

// local is the client's side: the interface to use and the address.
func (t *Traffic) local() (tcpip.NICID, netip.AddrPort) {
	if t.Via.Kind != "link" {
		return tunnelNIC, netip.AddrPortFrom(t.pick(tunnelAddresses), 0)
	}
	l := t.sim.Link(t.Via.Link)
	return linkNIC(l), netip.AddrPortFrom(t.pick(l.addresses), 0)
}

// pick takes the address of the traffic's family.
func (t *Traffic) pick(addresses []netip.Addr) netip.Addr {
	if t.IP == 6 {
		return addresses[1]
	}
	return addresses[0]
}

// dial makes a TCP socket at the client that connects to an address. ready is
// called when that has succeeded or failed, and from then on.
func (t *Traffic) dial(to netip.AddrPort, ready func()) (*socket, error) {
	id, local := t.local()
	s, err := t.sim.client.newSocket(tcp.ProtocolNumber, id, local, ready)
	if err != nil {
		return nil, err
	}
	if err := s.congestion(t.CC); err != nil {
		return nil, err
	}
	if err := s.connect(to); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// both runs a traffic's two directions side by side.
type both struct{ down, up generator }

// perDirection makes a generator for each direction the traffic has.
func (t *Traffic) perDirection(make func(t *Traffic, d Direction) (generator, error)) (generator, error) {
	switch t.Direction {
	case "up":
		return make(t, Up)
	case "both":
		down, err := make(t, Down)
		if err != nil {
			return nil, err
		}
		up, err := make(t, Up)
		return both{down, up}, err
	}
	return make(t, Down)
}

func (b both) start() error { return errors.Join(b.down.start(), b.up.start()) }

func (b both) finished() bool { return b.down.finished() && b.up.finished() }

func (b both) stop() {
	b.down.stop()
	b.up.stop()
}

func (b both) outcome() meter.Outcome { return meter.Both(b.down.outcome(), b.up.outcome()) }
