package reseq

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// global puts all packets of the session in one order and gives a gap up when
// it has waited too long: the first resequencer of the prototype, with a
// wait that follows the links instead of being fixed. One lost packet holds
// up every flow.
type global struct {
	stream   stream
	stats    Stats
	deadline core.Time
}

func newGlobal() *global {
	g := &global{deadline: core.Never}
	g.stream.stats = &g.stats
	return g
}

func (*global) Name() string { return "global" }

func (g *global) Push(e *Env, a *Arrival, out Sink) {
	s, seq := &g.stream, a.Header.Sequence
	if a.Header.Flags&wire.LowLatency != 0 && s.started && int32(seq-s.next) > 0 {
		out.Deliver(a.Packet, nil)
		s.pass(seq)
	} else {
		s.push(e, seq, a, out)
	}
	g.deadline = s.deadline(e)
}

func (g *global) HandleTimeout(e *Env, out Sink) {
	g.stream.expire(e, out)
	g.deadline = g.stream.deadline(e)
}

func (g *global) NextTimeout() core.Time { return g.deadline }

func (g *global) Flush(out Sink) {
	g.stream.flush(out)
	g.deadline = core.Never
}

func (g *global) Stats() Stats {
	st := g.stats
	st.HeldBytes, st.HeldPackets = g.stream.bytes, g.stream.held
	return st
}
