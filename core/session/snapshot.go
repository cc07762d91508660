package session

import (
	"math"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Snapshot is what a session believes at one moment, in the form that
// `multilink status --json` shows. Durations are in seconds, rates in bit/s,
// shares of 1.
type Snapshot struct {
	Scheduler   string   `json:"scheduler"`
	Reorder     string   `json:"reorder"`
	RateControl bool     `json:"rate_control"`
	Retransmit  bool     `json:"retransmit"`
	Equalize    string   `json:"equalize"`
	Reports     string   `json:"reports"`
	Classifier  string   `json:"classifier"`
	Equalized   int      `json:"equalized"` // flows for which "auto" holds packets now
	QueueBytes  int      `json:"queue_bytes"`
	HeldBytes   int      `json:"held_bytes"` // waiting in the resequencer
	Links       []Link   `json:"links"`
	Counters    Counters `json:"counters"`
}

// Link is what a session believes of one of its links.
type Link struct {
	ID     core.LinkID `json:"id"`
	Name   string      `json:"name"`
	State  string      `json:"state"` // "probing", "up", "suspect", "down"
	Role   string      `json:"role"`  // "active", "backup", "off"
	Remote string      `json:"remote"`
	// Transport is "udp", or "tcp" while the datagrams go over the control
	// connection.
	Transport string  `json:"transport"`
	SRTT      float64 `json:"srtt"`
	RTTVar    float64 `json:"rttvar"`
	MinRTT    float64 `json:"min_rtt"`
	// Delay is the one-way delay of the sending direction above that of the
	// fastest link: the clocks of the two ends differ by an unknown constant.
	Delay    float64 `json:"delay_above_fastest"`
	Jitter   float64 `json:"jitter"`
	Rate     float64 `json:"rate"`    // estimated delivery rate
	Loss     float64 `json:"loss"`    // share of recent datagrams lost, sending
	RxLoss   float64 `json:"rx_loss"` // the same, receiving
	InFlight int     `json:"in_flight"`
	Window   int     `json:"window"`
	// PMTU is the largest outer packet that the path is known to carry in the
	// sending direction, up to what the tunnel needs, in bytes; 0: no limit.
	PMTU int `json:"pmtu"`

	TxBytes     uint64 `json:"tx_bytes"`
	TxDatagrams uint64 `json:"tx_datagrams"`
	RxBytes     uint64 `json:"rx_bytes"`
	RxDatagrams uint64 `json:"rx_datagrams"`
	Acked       uint64 `json:"acked"`
	Lost        uint64 `json:"lost"`
	// SpuriousLost were called lost and came after all.
	SpuriousLost uint64 `json:"spurious_lost"`
	// BlackHoles is how often the path turned out to carry less than before.
	BlackHoles uint64 `json:"black_holes"`
}

// Counters count what a session did since it began; every drop has one. Packets
// are segments: a super-packet counts as many as it has.
type Counters struct {
	TxPackets     uint64 `json:"tx_packets"`
	TxBytes       uint64 `json:"tx_bytes"`
	RxPackets     uint64 `json:"rx_packets"`
	RxBytes       uint64 `json:"rx_bytes"`
	AcksSent      uint64 `json:"acks_sent"`
	AcksReceived  uint64 `json:"acks_received"`
	ProbesSent    uint64 `json:"probes_sent"`
	Retransmitted uint64 `json:"retransmitted"`
	// SplitPackets were sent in two halves, because a link does not carry them
	// whole.
	SplitPackets   uint64 `json:"split_packets"`
	PathChallenges uint64 `json:"path_challenges"`
	PathChanges    uint64 `json:"path_changes"`

	DropTooBig      uint64 `json:"drop_too_big"`      // inner packet over the MTU
	DropBadPacket   uint64 `json:"drop_bad_packet"`   // not an IP packet; a super-packet that cannot be cut counts once
	DropQueueFull   uint64 `json:"drop_queue_full"`   // no room in the tunnel queue
	DropQueueSignal uint64 `json:"drop_queue_signal"` // congestion signal of the queue
	DropStranded    uint64 `json:"drop_stranded"`     // on its way when the last link went, no room to keep it
	DropQueueAge    uint64 `json:"drop_queue_age"`    // waited too long for a link
	DropShort       uint64 `json:"drop_short"`        // datagram truncated
	DropHeader      uint64 `json:"drop_header"`       // datagram header malformed
	DropSealLimit   uint64 `json:"drop_seal_limit"`   // the key has sealed all it may
	DropAuth        uint64 `json:"drop_auth"`         // seal does not open
	DropReplay      uint64 `json:"drop_replay"`       // seen before, or too old
	DropMalformed   uint64 `json:"drop_malformed"`    // body malformed
	DropDuplicate   uint64 `json:"drop_duplicate"`    // a copy came first
	DropHalf        uint64 `json:"drop_half"`         // half of a packet whose other half did not come
	DropUnknownLink uint64 `json:"drop_unknown_link"` // link is gone
	DropPath        uint64 `json:"drop_path"`         // nothing sent: the path is not validated

	TxLowLatency uint64 `json:"tx_low_latency"` // inner packets sent with low latency
	RxLowLatency uint64 `json:"rx_low_latency"` // the same that came
	// UrgentSwitches counts how often another link became the one of lowest
	// latency.
	UrgentSwitches uint64 `json:"low_latency_switches"`
	// WindowsLowered counts the receive windows made smaller so that flows of
	// lower priority slow down.
	WindowsLowered uint64 `json:"windows_lowered"`

	CallsFound   uint64 `json:"calls_found"`   // directions of flows found to be calls
	CallsRevoked uint64 `json:"calls_revoked"` // of them, and of those that might be: turned out to be none
	// CallsCapped counts packets that were treated as ordinary ones because
	// calls may take no more of the links.
	CallsCapped  uint64 `json:"calls_capped"`
	CallCopies   uint64 `json:"call_copies"`   // packets of calls sent on a second link too
	FlowsEvicted uint64 `json:"flows_evicted"` // displaced in the full table of flows

	Reordered    uint64 `json:"reordered"`     // arrived out of order
	Held         uint64 `json:"held"`          // waited in the resequencer
	GapsSkipped  uint64 `json:"gaps_skipped"`  // sequences given up
	LateReleased uint64 `json:"late_released"` // came after their gap was given up
	// ResequencerOverflow counts packets let go early for want of room.
	ResequencerOverflow uint64 `json:"resequencer_overflow"`
}

// addReseqStats adds what the present resequencer counted.
func (s *Session) addReseqStats(c *Counters) {
	r := s.reseq.Stats()
	c.Reordered += r.Reordered
	c.Held += r.Held
	c.GapsSkipped += r.GapsSkipped
	c.LateReleased += r.Late
	c.ResequencerOverflow += r.Overflow
}

// addShaperStats adds what the present shaper counted.
func (s *Session) addShaperStats(c *Counters) {
	if s.shaper != nil {
		c.WindowsLowered += s.shaper.Lowered()
	}
}

// counted returns the counters with what the parts of the session count themselves.
func (s *Session) counted() Counters {
	c := s.counters
	s.addReseqStats(&c)
	s.addShaperStats(&c)
	f := s.calls.table.Stats()
	c.CallsFound, c.CallsRevoked, c.FlowsEvicted = f.Confirmed, f.Revoked, f.Evicted
	c.DropHalf = s.halves.dropped
	return c
}

// Snapshot returns what the session believes now.
func (s *Session) Snapshot(now core.Time) Snapshot {
	v := Snapshot{
		Scheduler: s.sched.Name(), Reorder: s.reseq.Name(),
		RateControl: s.cfg.Send.RateControl, Retransmit: s.cfg.Send.Retransmit,
		Equalize: s.cfg.Send.Equalize, Equalized: s.equal.held(), Reports: s.cfg.Send.Reports,
		Classifier: s.calls.table.Name(),
		QueueBytes: s.queue.Total(), HeldBytes: s.reseq.Stats().HeldBytes,
		Links: make([]Link, 0, len(s.order)), Counters: s.counted(),
	}
	fastest := time.Duration(math.MaxInt64)
	for _, l := range s.order {
		if e := l.tx.Estimate(); e.Known {
			fastest = min(fastest, e.Delay)
		}
	}
	for _, l := range s.order {
		v.Links = append(v.Links, l.snapshot(fastest))
	}
	return v
}

func (l *linkState) snapshot(fastest time.Duration) Link {
	e, tx, rx := l.tx.Estimate(), l.tx.Stats(), l.rx.Stats()
	v := Link{
		ID: l.id, Name: l.name, State: l.health.String(), Role: l.policy.Role.String(),
		SRTT: e.SRTT.Seconds(), RTTVar: e.RTTVar.Seconds(), MinRTT: e.MinRTT.Seconds(),
		Jitter: e.Jitter.Seconds(), Rate: e.Rate * 8,
		Loss: e.Loss, RxLoss: l.rx.Loss(), InFlight: e.InFlight, Window: e.Window,
		TxBytes: tx.Bytes, TxDatagrams: tx.Datagrams,
		RxBytes: rx.Bytes, RxDatagrams: rx.Datagrams,
		Acked: tx.Acked, Lost: tx.Lost, SpuriousLost: tx.SpuriousLost, BlackHoles: tx.BlackHoles,
	}
	v.PMTU, _ = l.tx.MTU()
	v.Transport = transport(l.streaming())
	if !l.streaming() && l.paths.known {
		v.Remote = l.paths.current.Remote.String()
	}
	if e.Known {
		v.Delay = (e.Delay - fastest).Seconds()
	}
	return v
}
