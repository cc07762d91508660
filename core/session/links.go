package session

import (
	"fmt"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/link"
	"github.com/multilink-vpn/multilink/core/seal"
	"github.com/multilink-vpn/multilink/core/wire"
)

// linkState is one link of a session.
type linkState struct {
	id      core.LinkID
	name    string
	policy  Policy
	quality quality
	health  health
	told    told
	peer    uint32 // receiver index to send under

	tx     *link.Sender
	rx     link.Receiver
	sealer *seal.Sealer
	opener *seal.Opener
	replay *seal.Window
	paths  paths

	pinged   core.Time // when a report last asked for an acknowledgement
	tail     bool      // data was sent since the link was last asked about its tail
	standing standing
	doubted  core.Time // when it was last suspect or down
	gaps     []gap
	hedge    hedge
	fallback fallback
}

// AddLink begins a link that both ends have agreed on, or begins it anew with
// other keys when it exists. It fails on keys that cannot be used.
func (s *Session) AddLink(now core.Time, lc LinkConfig, out *Output) error {
	s.begin(now, out)
	if lc.ID >= core.MaxLinks {
		return fmt.Errorf("link %d: at most %d links", lc.ID, core.MaxLinks)
	}
	sealer, err := seal.NewSealer(lc.SendKey)
	if err != nil {
		return fmt.Errorf("link %d: %w", lc.ID, err)
	}
	opener, err := seal.NewOpener(lc.ReceiveKey)
	if err != nil {
		return fmt.Errorf("link %d: %w", lc.ID, err)
	}
	old := s.links[lc.ID]
	streamed := old != nil && old.streaming() && lc.Stream // and nothing says that UDP works now
	s.remove(lc.ID, out)
	l := &linkState{
		id: lc.ID, name: lc.Name, peer: lc.PeerIndex,
		tx:     link.NewSender(s.cfg.Send.RateControl),
		sealer: sealer, opener: opener,
		replay: seal.NewWindow(seal.WindowSize),
	}
	l.rx.SetRare(s.cfg.Send.Reports == ReportsRare)
	l.obey(lc.Policy)
	if !s.cfg.LearnPaths {
		l.paths.fix(lc.Path)
		l.fallback = fallback{udp: lc.Path, able: lc.Stream, since: now, wait: udpEvery, trip: lc.RoundTrip}
		if streamed {
			l.paths.fix(streamPath)
		}
	}
	if old != nil {
		l.told = old.told
	}
	l.standing = s.memoryOf(l).standing
	l.standing.row = 0
	l.tx.Begin(s.recall(l))
	s.adoptPath(l)
	s.links[lc.ID] = l
	s.relist()
	if !s.cfg.LearnPaths {
		s.probe(l, out)
	}
	return nil
}

// RemoveLink ends a link. What was on its way over it goes over the others
// where retransmission is on.
func (s *Session) RemoveLink(now core.Time, id core.LinkID, out *Output) {
	s.begin(now, out)
	if id < core.MaxLinks && s.links[id] != nil && s.links[id].usable() {
		s.links[id].standing.fall(now, false)
	}
	s.remove(id, out)
	s.finish(out)
}

func (s *Session) remove(id core.LinkID, out *Output) {
	if id >= core.MaxLinks || s.links[id] == nil {
		return
	}
	l := s.links[id]
	if l.health != down {
		s.remember(l)
	}
	s.memoryOf(l).standing = l.standing
	s.links[id] = nil
	s.relist()
	s.queue.Forget(id)
	s.lost = l.tx.Close(s.now, s.lost[:0])
	s.repair(l, out)
}

func (s *Session) relist() {
	s.order = s.order[:0]
	for _, l := range s.links {
		if l != nil {
			s.order = append(s.order, l)
		}
	}
}

// usable tells whether a link can carry data: its round trip is known, its
// path is proven, and it is not down.
func (l *linkState) usable() bool {
	return l.policy.Role != Off && l.health != down && l.health != probing && l.paths.ready()
}

// overhead is what the outer headers add to a datagram, in bytes.
func (l *linkState) overhead() int { return wire.OuterLen(l.paths.current.Remote.Addr().Is4()) }
