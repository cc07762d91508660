package reseq

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// holdSlack is waited beyond what the links' delays explain.
const holdSlack = 10 * time.Millisecond

// global puts all packets of the session in one order and gives a gap up when
// it has waited too long: the first resequencer of the prototype, with a
// wait that follows the links instead of being fixed. One lost packet holds
// up every flow.
type global struct {
	ring
	stats    Stats
	deadline core.Time
}

func newGlobal() *global { return &global{deadline: core.Never} }

func (*global) Name() string { return "global" }

func (g *global) Push(e *Env, a *Arrival, out Sink) {
	seq := a.Header.Sequence
	if !g.started {
		g.started, g.next = true, seq
	}
	ahead := int32(seq - g.next)
	switch {
	case ahead < 0:
		g.stats.Late++
		out.Deliver(a.Packet, nil)
	case ahead == 0:
		if g.held > 0 {
			g.stats.Reordered++
		}
		out.Deliver(a.Packet, nil)
		g.taken(seq)
		g.advance(out)
	case a.Header.Flags&wire.LowLatency != 0:
		out.Deliver(a.Packet, nil)
		g.pass(seq)
	default:
		g.wait(e, seq, a, out)
	}
	g.setDeadline(e)
}

// taken steps over a sequence that has just been delivered from next.
func (g *global) taken(seq uint32) {
	if len(g.slots) > 0 {
		*g.slot(seq) = slot{}
	}
	g.next = seq + 1
}

// wait holds a, and makes room for it where there is none.
func (g *global) wait(e *Env, seq uint32, a *Arrival, out Sink) {
	for !g.hold(e, seq, a) {
		g.stats.Overflow++
		if g.held == 0 {
			// A jump further than the ring reaches: the peer began anew, or
			// lost more than could be put in order.
			g.stats.GapsSkipped += uint64(seq - g.next)
			clear(g.slots)
			out.Deliver(a.Packet, nil)
			g.next = seq + 1
			return
		}
		g.stats.GapsSkipped += g.skip(out)
		if int32(seq-g.next) <= 0 {
			out.Deliver(a.Packet, nil)
			if seq == g.next {
				g.taken(seq)
				g.advance(out)
			}
			return
		}
	}
	g.stats.Held++
}

func (g *global) HandleTimeout(e *Env, out Sink) {
	for g.held > 0 && e.Now.Sub(g.since) >= holdTime(e) {
		g.stats.GapsSkipped += g.skip(out)
	}
	g.setDeadline(e)
}

// holdTime is the longest a packet may wait: until every link could have
// delivered what was sent before it, and a repair could have come.
func holdTime(e *Env) time.Duration {
	return min(e.Spread+4*e.Jitter+holdSlack+2*e.Repair, MaxHold)
}

func (g *global) setDeadline(e *Env) {
	g.deadline = core.Never
	if g.held > 0 {
		g.deadline = g.since.Add(holdTime(e))
	}
}

func (g *global) NextTimeout() core.Time { return g.deadline }

func (g *global) Flush(out Sink) {
	for g.held > 0 {
		g.stats.GapsSkipped += g.skip(out)
	}
	g.deadline = core.Never
}

func (g *global) Stats() Stats {
	st := g.stats
	st.HeldBytes, st.HeldPackets = g.bytes, g.held
	return st
}
