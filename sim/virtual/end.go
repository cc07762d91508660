package virtual

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/session"
)

// Strategy is how one end of the tunnel works.
type Strategy struct {
	Send    session.Strategy
	Reorder string // of what it receives
	QoS     QoS
}

// end is one end of the tunnel: a session and what an engine does around it.
type end struct {
	sim     *Simulation
	index   int
	session *session.Session
	out     session.Output
	next    int64 // when the session wants to be called
	// origin is the time of this host's clock when the simulation began. The
	// two ends differ: nothing may depend on comparing their clocks.
	origin core.Time
	// deliver takes what comes out of the tunnel.
	deliver func(packet []byte)
}

func (s *Simulation) newEnd(index int, st Strategy, origin time.Duration) (*end, error) {
	e := &end{sim: s, index: index, next: never, origin: core.Time(origin)}
	var err error
	e.session, err = session.New(session.Config{
		Send: st.Send, Reorder: st.Reorder, LearnPaths: index == server, FollowLatency: index == server, MTU: s.cfg.MTU,
		Seed: s.seedOf("session", [...]string{client: "client", server: "server"}[index]),
	}, e.now())
	if err == nil {
		e.setQoS(st.QoS)
	}
	return e, err
}

// now is the time of this end's clock.
func (e *end) now() core.Time { return e.origin + core.Time(e.sim.clock.now) }

// packets hands inner packets to the session.
func (e *end) packets(batch []core.Packet) {
	e.session.HandlePackets(e.now(), batch, &e.out)
	e.carryOut()
}

// datagram hands an outer datagram to the session, which opens it in place.
func (e *end) datagram(id core.LinkID, data []byte, path core.Path) {
	e.session.HandleDatagrams(e.now(), id, []core.Datagram{{Data: data, Path: path}}, &e.out)
	e.carryOut()
}

func (e *end) timeout() {
	e.session.HandleTimeout(e.now(), &e.out)
	e.carryOut()
}

func (e *end) addLink(cfg session.LinkConfig) {
	if err := e.session.AddLink(e.now(), cfg, &e.out); err != nil {
		e.sim.fail(err)
		return
	}
	e.carryOut()
}

func (e *end) removeLink(id core.LinkID) {
	e.session.RemoveLink(e.now(), id, &e.out)
	e.carryOut()
}

// setStrategy changes how the end works while it does.
func (e *end) setStrategy(st Strategy) error {
	if err := e.session.SetReorder(e.now(), st.Reorder, &e.out); err != nil {
		return err
	}
	e.carryOut()
	err := e.session.SetStrategy(e.now(), st.Send, &e.out)
	e.carryOut()
	e.setQoS(st.QoS)
	return err
}

func (e *end) snapshot() session.Snapshot { return e.session.Snapshot(e.now()) }

// carryOut does what the session said.
func (e *end) carryOut() {
	for _, r := range e.out.Runs {
		for d := r.Data; len(d) > 0; {
			n := min(r.Segment, len(d))
			e.sim.links[r.Link].transmit(e.index, d[:n], r.Path)
			d = d[n:]
		}
	}
	for _, p := range e.out.Packets {
		e.deliver(p.Data)
	}
	e.next = never
	if t := e.session.NextTimeout(); t != core.Never {
		e.next = max(int64(t-e.origin), e.sim.clock.now)
	}
}
