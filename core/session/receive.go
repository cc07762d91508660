package session

import (
	"errors"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/gso"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/wire"
)

// HandleDatagrams takes datagrams that came for a link, opens them in place
// and delivers what is in order.
func (s *Session) HandleDatagrams(now core.Time, id core.LinkID, batch []core.Datagram, out *Output) {
	s.begin(now, out)
	if id >= core.MaxLinks || s.links[id] == nil {
		s.counters.DropUnknownLink += uint64(len(batch))
		return
	}
	l := s.links[id]
	if len(batch) > 0 {
		s.lag.note(now, batch[0].Age) // the first has waited longest
	}
	s.updateEnv()
	for _, d := range batch {
		s.receive(l, d, out)
	}
	s.judge(l, out)
	s.finish(out)
}

func (s *Session) receive(l *linkState, d core.Datagram, out *Output) {
	h, err := wire.ParseHeader(d.Data)
	if err != nil {
		s.count(err)
		return
	}
	if err := l.replay.Check(h.Number); err != nil {
		s.counters.DropReplay++
		return
	}
	body, err := l.opener.Open(d.Data, wire.HeaderLen, h.Number)
	if err != nil {
		s.counters.DropAuth++
		return
	}
	newest := h.Number >= l.replay.Next()
	l.replay.Mark(h.Number)
	size := len(d.Data) + l.overhead()
	kind, err := wire.BodyKind(body)
	if err != nil {
		s.counters.DropMalformed++
		return
	}
	s.arrived(l, d.Path, size, newest, out)
	eliciting := kind != wire.KindFrames || !wire.IsReport(body)
	if gap, missing := l.rx.Received(s.now.Add(-d.Age), h.Number, size, eliciting); missing {
		s.openGaps(l, gap)
	}
	if kind != wire.KindFrames {
		s.receivePacket(l, body, out)
		return
	}
	s.handler = frameHandler{s, l, out}
	if err := s.frames.Parse(body, &s.handler); err != nil {
		s.counters.DropMalformed++
	}
	s.handler.out = nil // it is the driver's: no idle session keeps its memory
}

func (s *Session) count(err error) {
	if errors.Is(err, wire.ErrShort) {
		s.counters.DropShort++
		return
	}
	s.counters.DropHeader++
}

// receivePacket hands an inner packet to the resequencer, once.
func (s *Session) receivePacket(l *linkState, body []byte, out *Output) {
	h, data, err := wire.ParsePacket(body)
	if err != nil || len(data) > packet.Size {
		s.counters.DropMalformed++
		return
	}
	if h.Flags&wire.Repaired != 0 {
		s.closeGap(h.LostLink, h.LostNumber)
	}
	if h.Part != wire.Whole {
		if data = s.join(&h, data, out); data == nil {
			return
		}
	}
	if !classify.Valid(data) {
		s.counters.DropMalformed++
		return
	}
	if !s.seen.Mark(h.Sequence) {
		s.counters.DropDuplicate++
		return
	}
	s.gotData = s.now
	s.follow(h.Flags, data)
	s.shape(data)
	s.calls.table.Packet(s.now, core.Packet{Data: data}, true)
	s.counters.RxPackets++
	s.counters.RxBytes += uint64(len(data))
	partial := h.Flags&wire.Partial != 0
	if mtu := s.clampMTU(); mtu < s.cfg.MTU {
		// What this end sends depends on its own links: so it, and not the peer,
		// clamps what the peer's host announces.
		gso.ClampMSS(data, partial, mtu)
	}
	s.arrival = reseq.Arrival{
		Header: h, Link: l.id,
		Packet: core.Packet{Data: data, Partial: partial},
	}
	s.reseq.Push(&s.env, &s.arrival, out)
}

// join makes a packet whole with the half that came before; nil: none did.
func (s *Session) join(h *wire.PacketHeader, data []byte, out *Output) []byte {
	if s.seen.Has(h.Sequence) {
		s.counters.DropDuplicate++
		return nil
	}
	other := s.halves.join(s.now, h, data, s.pool)
	if other == nil {
		return nil
	}
	data = out.whole(h, data, other)
	other.Release()
	if data == nil {
		s.counters.DropMalformed++
	}
	return data
}

// frameHandler takes the frames of one body.
type frameHandler struct {
	s   *Session
	l   *linkState
	out *Output
}

// HandlePing needs nothing done: the datagram is acknowledged as any other.
func (*frameHandler) HandlePing() {}

// HandleAck takes a report about any link of the session.
func (h *frameHandler) HandleAck(a *wire.Ack) {
	s := h.s
	s.counters.AcksReceived++
	about := s.links[a.Link]
	if about == nil {
		return
	}
	known := about.tx.Stats().Acked
	s.lost = about.tx.Acked(s.now, a, s.lost[:0])
	about.hedge.answered(about.tx)
	if about.tx.Stats().Acked > known {
		s.answeredProbe(about, len(s.lost) > 0, h.out)
	}
	s.repair(about, h.out)
}

// HandlePathChallenge answers on the path in use, which need not be the one that the
// challenge came from: to a client on its control connection that tries UDP the answer
// goes over the connection, and what moves it is the server's own challenge over UDP.
func (h *frameHandler) HandlePathChallenge(token [8]byte) {
	if !h.l.paths.allows(challengeLength + h.l.overhead()) {
		h.s.counters.DropPath++
		return
	}
	h.s.sendBody(h.l, h.l.paths.current, wire.AppendPathResponse(h.s.beginBody(), token), true, h.out)
}

// HandlePathResponse takes the answer to a challenge.
func (h *frameHandler) HandlePathResponse(token [8]byte) { h.s.answered(h.l, token) }

// HandleDelays learns how far apart packets may arrive.
func (h *frameHandler) HandleDelays(d wire.Delays) {
	e := &h.s.env
	e.Spread, e.Jitter, e.Repair = d.Spread, d.Jitter, d.Repair
	if h.s.shaper != nil {
		h.s.shaper.Backlog(h.s.now, d.Backlog)
	}
}
