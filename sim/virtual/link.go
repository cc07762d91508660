package virtual

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// Link is one access network of the client in a Simulation.
type Link struct {
	Name string

	sim   *Simulation
	id    core.LinkID
	index int
	conf  scenario.Link
	// addresses are the client's on the link, for traffic past the tunnel.
	addresses []netip.Addr
	// ways are the stages of each direction, in the order of travel; own is
	// the link's own stage of each.
	ways [2][]*stage
	own  [2]*stage

	attached bool // plugged in, with a carrier
	holes    [2]bool
	outer    netip.AddrPort // where the server sees the client
	changes  uint16         // of that address

	generation uint32    // of the control connection, 0 before the first
	known      [2]uint32 // the generation that client and server have; 0: none
}

// The ends of the tunnel, as indices.
const (
	client = 0
	server = 1
)

// retryEvery is how long a client waits before it tries a link again whose
// control connection could not be made.
const retryEvery = time.Second

// serverPort is where the server takes datagrams.
const serverPort = 5410

func (s *Simulation) newLink(index int, conf scenario.Link) (*Link, error) {
	l := &Link{Name: conf.Name, sim: s, id: core.LinkID(index), index: index, conf: conf, addresses: linkAddresses(index)}
	l.outer = l.outerAddress()
	for d, im := range [...]scenario.Impairment{Up: conf.Up, Down: conf.Down} {
		own, err := s.newStage(im, conf.Name, Direction(d).String())
		if err != nil {
			return nil, fmt.Errorf("link %s, %s: %w", conf.Name, Direction(d), err)
		}
		l.own[d] = own
		l.ways[d] = []*stage{own}
	}
	for _, b := range s.bottlenecks {
		if slices.Contains(b.links, conf.Name) {
			l.ways[Up] = append(l.ways[Up], b.stages[Up])
			l.ways[Down] = append([]*stage{b.stages[Down]}, l.ways[Down]...)
		}
	}
	return l, nil
}

// bottleneck is a router that several links share.
type bottleneck struct {
	links  []string
	stages [2]*stage
}

func (s *Simulation) newBottleneck(conf scenario.Bottleneck) (*bottleneck, error) {
	b := &bottleneck{links: conf.Links}
	for d, im := range [...]scenario.Impairment{Up: conf.Up, Down: conf.Down} {
		var err error
		if b.stages[d], err = s.newStage(im, conf.Name, Direction(d).String()); err != nil {
			return nil, fmt.Errorf("bottleneck %s, %s: %w", conf.Name, Direction(d), err)
		}
	}
	return b, nil
}

// outerAddress is where the server sees the client at the moment: the address
// of the link's NAT router (RFC 5737, RFC 3849) and a port of its choosing.
func (l *Link) outerAddress() netip.AddrPort {
	port := 40000 + l.changes
	if !l.sim.cfg.OuterIPv6 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(l.index + 1)}), port)
	}
	a := netip.MustParseAddr("2001:db8::").As16()
	a[5], a[15] = byte(l.index+1), 2
	return netip.AddrPortFrom(netip.AddrFrom16(a), port)
}

// serverAddress is the server's outer address.
func (s *Simulation) serverAddress() netip.AddrPort {
	if s.cfg.OuterIPv6 {
		return netip.AddrPortFrom(netip.MustParseAddr("2001:db8:ffff::2"), serverPort)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 2}), serverPort)
}

// roundTrip is that of the empty link.
func (l *Link) roundTrip() time.Duration {
	sum := time.Duration(0)
	for d := range l.ways {
		for _, st := range l.ways[d] {
			sum += st.delay
		}
	}
	return sum
}

// attach plugs the link in, or gives it its carrier back: the client begins to
// make a control connection.
func (l *Link) attach() {
	l.attached = true
	l.generation++
	l.connect(l.generation)
}

// connect makes the control connection of a generation: the server has it
// after one and a half round trips, the client after two.
func (l *Link) connect(generation uint32) {
	trip := l.roundTrip()
	current := func() bool { return l.attached && l.generation == generation }
	l.sim.after(trip*3/2, func() {
		switch {
		case !current():
		case l.holes[Up] || l.holes[Down]:
			l.sim.after(retryEvery, func() {
				if current() {
					l.connect(generation)
				}
			})
		default:
			l.join(server)
			l.sim.after(trip/2, func() {
				if current() {
					l.join(client)
				}
			})
		}
	})
}

// join adds the link to the session of one end.
func (l *Link) join(end int) {
	keys, err := seal.Derive(l.exporter(), seal.Binding{
		Suite: seal.AES128GCM, Link: l.id, ClientIndex: l.clientIndex(), ServerIndex: l.serverIndex(),
	})
	if err != nil {
		l.sim.fail(fmt.Errorf("link %s: %w", l.Name, err))
		return
	}
	cfg := session.LinkConfig{ID: l.id, Name: l.Name}
	if end == client {
		cfg.SendKey, cfg.ReceiveKey, cfg.PeerIndex = keys.ClientToServer, keys.ServerToClient, l.serverIndex()
		cfg.Path = core.Path{Remote: l.sim.serverAddress()}
	} else {
		cfg.SendKey, cfg.ReceiveKey, cfg.PeerIndex = keys.ServerToClient, keys.ClientToServer, l.clientIndex()
		cfg.Path = core.Path{Local: l.sim.serverAddress().Addr()}
	}
	l.known[end] = l.generation
	l.sim.ends[end].addLink(cfg)
}

// exporter stands for the TLS exporter of the control connection.
func (l *Link) exporter() seal.Exporter {
	return func(label string, context []byte, n int) ([]byte, error) {
		key := make([]byte, n)
		seed := l.sim.seedOf(l.Name, fmt.Sprint(l.generation), label, string(context))
		_, err := newStream(seed).Read(key)
		return key, err
	}
}

// The receiver indices of the two ends name link and control connection.
func (l *Link) clientIndex() uint32 { return l.generation<<8 | uint32(l.id) }
func (l *Link) serverIndex() uint32 { return 1<<31 | l.clientIndex() }

// detach takes the link away: what is on its way is gone, the client knows at
// once, the server one round trip later.
func (l *Link) detach() {
	l.attached = false
	for _, st := range l.own {
		st.model.Flush(l.sim.clock.now, func(p link.Packet) { l.sim.release(p.Tag.(*parcel)) })
		st.look()
	}
	generation := l.generation
	l.leave(client, generation)
	l.sim.after(l.roundTrip(), func() { l.leave(server, generation) })
}

// leave takes the link out of the session of one end, unless another control
// connection has taken the place of that generation's.
func (l *Link) leave(end int, generation uint32) {
	if l.known[end] == generation {
		l.known[end] = 0
		l.sim.ends[end].removeLink(l.id)
	}
}

// blackhole makes packets of a direction vanish, or ends that.
func (l *Link) blackhole(d Direction, on bool) {
	l.holes[d] = on
	l.own[d].model.Blackhole(on)
}

// move gives the client another outer address: its NAT has forgotten the
// mapping (a new port), or it is in another network.
func (l *Link) move() {
	l.changes++
	l.outer = l.outerAddress()
}

// transmit sends a datagram of the tunnel that one end gave out.
func (l *Link) transmit(from int, data []byte, to core.Path) {
	p := l.sim.newParcel(data)
	p.link, p.tunnel, p.generation = l, true, l.known[from]
	p.size = len(data) + scenario.OuterHeaders(l.sim.cfg.OuterIPv6)
	if from == client {
		p.direction = Up
		p.path = core.Path{Local: l.sim.serverAddress().Addr(), Remote: l.outer}
	} else {
		p.direction = Down
		p.path = core.Path{Remote: l.sim.serverAddress()}
	}
	if from == server && to.Remote != l.outer {
		// The NAT, or nobody, has that address any more.
		l.sim.counters.Unreachable++
		l.sim.release(p)
		return
	}
	l.send(p)
}

// send puts a parcel on its way.
func (l *Link) send(p *parcel) {
	if !l.attached {
		l.sim.counters.Detached++
		l.sim.release(p)
		return
	}
	l.ways[p.direction][0].enter(p)
}

// datagram delivers a datagram of the tunnel. The receiver index leads to the
// link of a control connection; that of an earlier one leads nowhere.
func (l *Link) datagram(p *parcel) {
	end := server
	if p.direction == Down {
		end = client
	}
	if !l.attached || p.generation != l.known[end] {
		l.sim.counters.NoSession++
		return
	}
	l.sim.recovery.see(l)
	l.sim.ends[end].datagram(l.id, p.data, p.path)
}
