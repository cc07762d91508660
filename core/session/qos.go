package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/qos"
	"github.com/multilink-vpn/multilink/core/wire"
)

// QoS is what a session does about the priority and latency of inner packets.
type QoS struct {
	// Rules say what this end's packets get; nil: all the same. The session
	// counts their hits: they belong to it.
	Rules *qos.Rules
	// Send is the direction of what this end sends.
	Send qos.Direction
	// Window makes this end slow down the TCP flows of lower priority that the
	// peer sends, by the windows that it announces.
	Window bool
}

// SetQoS changes the rules; what waits keeps its place.
func (s *Session) SetQoS(now core.Time, q QoS, out *Output) {
	s.begin(now, out)
	s.qos = q
	s.queue.SetClasses(q.Rules.Ranks())
	switch shape := q.Window && q.Rules.Ranks(); {
	case !shape && s.shaper != nil:
		s.addShaperStats(&s.counters)
		s.shaper = nil
	case shape && s.shaper == nil:
		s.shaper = &qos.Shaper{}
	}
}

// RuleHits returns how many packets each rule has matched.
func (s *Session) RuleHits() []uint64 { return s.qos.Rules.Hits() }

// shape takes note of a packet from the peer for the shaper.
func (s *Session) shape(data []byte) {
	if s.shaper == nil {
		return
	}
	v := s.qos.Rules.Match(data, s.qos.Send^(qos.Up|qos.Down))
	s.shaper.Received(s.now, data, classify.Answer(data), v.Priority)
}

// backlog is how long what waits here takes to leave; 0 where that is unknown.
func (s *Session) backlog() time.Duration {
	rate := 0.0
	for _, l := range s.order {
		if l.usable() {
			rate += l.tx.Estimate().Rate
		}
	}
	if rate == 0 {
		return 0
	}
	return min(time.Duration(float64(s.queue.Total())/rate*1e9), time.Minute)
}

// marking is what is found out about an inner packet before it waits.
type marking struct {
	flags wire.Flags // with which it leaves
	class uint8      // of the queue
	what  classify.Verdict
}

// mark says how an inner packet is to be sent: by the rules of the user, as a
// call, or as the answer to what the peer sends with low latency.
func (s *Session) mark(p core.Packet, flow uint32) marking {
	rule := s.qos.Rules.Match(p.Data, s.qos.Send)
	m := marking{class: qos.Lowest - rule.Priority, what: s.calls.table.Packet(s.now, p, false)}
	wants := m.what.State > classify.Other || s.answers.wants(flow, s.now)
	if rule.LowLatency || wants && s.mayHurry(len(p.Data)) {
		m.flags = wire.LowLatency
	}
	return m
}
