package classify

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// reason says why a half is believed to be what it is.
type reason uint8

const (
	whyNone reason = iota
	whyGate
	whyPayloadType
	whyLowPort
	whySource
	whySteps
	whyClock
	whyRevoked
	whySequence
	whyEvidence
	whyRTCPBeside
	whyMajority
	whyMinority
	whyPacket
)

var reasons = [...]string{
	whyNone:        "",
	whyGate:        "no RTP header",
	whyPayloadType: "a payload type that RTP does not use",
	whyLowPort:     "a port below 1024",
	whySource:      "the source (SSRC) changes",
	whySteps:       "the sequence jumps",
	whyClock:       "the timestamps do not move with a media clock",
	whyRevoked:     "taken back: 3 of 20 packets were not RTP",
	whySequence:    "one source, sequence and timestamps in step",
	whyEvidence:    "one source in step, with other signs of a call",
	whyRTCPBeside:  "RTCP of the call on the ports below",
	whyMajority:    "at least half of the packets look like RTP",
	whyMinority:    "less than half of the packets look like RTP",
	whyPacket:      "the last packet looks like RTP",
}

func (r reason) String() string { return reasons[r] }

// FlowInfo is what a table believes of a flow. Rates are in bytes/s.
type FlowInfo struct {
	Ref           Ref
	Protocol      string         // "udp" or "tcp"
	Local, Remote netip.AddrPort // Local is on this side of the tunnel
	State         State          // the stronger of the two directions
	Began, Seen   core.Time
	Links         uint16   // that the last packet to the peer took, one bit each
	LowLatency    bool     // the last packet sent got it
	Evidence      string   // what came beside media: "STUN, DTLS"; or ""
	Sent          HalfInfo // towards the peer
	Received      HalfInfo
}

// HalfInfo is what a table believes of one direction of a flow.
type HalfInfo struct {
	Packets, Bytes uint64
	Rate           float64
	State          State
	Why            string
	// Of a call found by its sources:
	Media       bool
	PayloadType uint8
	Codec       string // of a static payload type; "" otherwise
	SSRC        uint32
	Clock       uint32 // Hz; 0 while it is not known
}

// Flows lists the flows that are not idle.
func (t *Table) Flows(now core.Time) []FlowInfo {
	var list []FlowInfo
	for f := range t.all {
		if !t.expired(now, f) {
			list = append(list, f.describe(now))
		}
	}
	return list
}

func (f *flow) describe(now core.Time) FlowInfo {
	v := FlowInfo{
		Ref: f.ref, Protocol: "udp", State: f.state(), Began: f.began, Seen: f.seen,
		Links: f.links, LowLatency: f.low, Evidence: f.evidenceText(),
		Local: f.a.addrPort(f.v6), Remote: f.b.addrPort(f.v6),
		Sent: f.describeHalf(now, toPeer), Received: f.describeHalf(now, fromPeer),
	}
	if f.protocol == gso.ProtocolTCP {
		v.Protocol = "tcp"
	}
	if !f.aLocal {
		v.Local, v.Remote = v.Remote, v.Local
	}
	return v
}

func (f *flow) describeHalf(now core.Time, side int) HalfInfo {
	h := &f.halves[side]
	v := HalfInfo{Packets: h.packets, Bytes: h.bytes, Rate: h.current(now), State: h.state, Why: h.why.String()}
	if f.tracks == nil || h.state == Other || h.why != whySequence && h.why != whyEvidence {
		return v
	}
	tr := &f.tracks[side][h.best]
	v.Media, v.PayloadType, v.Codec = true, tr.payloadType, codec(tr.payloadType)
	v.SSRC, v.Clock = tr.ssrc, tr.clock
	return v
}

// current is the rate now: that of the last window, or of the one that has
// begun when it is longer.
func (v *volume) current(now core.Time) float64 {
	d := now - v.since
	if v.since == 0 || d < rateWindow && v.rate > 0 {
		return v.rate
	}
	return float64(v.inWindow) / max(d, rateWindow/4).Sub(0).Seconds()
}

func (f *flow) evidenceText() string {
	var list []string
	for _, e := range []struct {
		bit  evidence
		name string
	}{{evidenceSTUN, "STUN"}, {evidenceDTLS, "DTLS"}, {evidenceRTCP, "RTCP"}} {
		if f.evidence&e.bit != 0 {
			list = append(list, e.name)
		}
	}
	if f.wrapped {
		list = append(list, "TURN ChannelData")
	}
	return strings.Join(list, ", ")
}

// codec names a static payload type (RFC 3551, section 6).
func codec(payloadType uint8) string {
	switch payloadType {
	case 0:
		return "PCMU"
	case 3:
		return "GSM"
	case 4:
		return "G723"
	case 5, 6, 16, 17:
		return "DVI4"
	case 7:
		return "LPC"
	case 8:
		return "PCMA"
	case 9:
		return "G722"
	case 10, 11:
		return "L16"
	case 12:
		return "QCELP"
	case 13:
		return "CN"
	case 14:
		return "MPA"
	case 15:
		return "G728"
	case 18:
		return "G729"
	case 25:
		return "CelB"
	case 26:
		return "JPEG"
	case 28:
		return "nv"
	case 31:
		return "H261"
	case 32:
		return "MPV"
	case 33:
		return "MP2T"
	case 34:
		return "H263"
	}
	return ""
}

// String describes what was found for people: "PCMU, SSRC 1a2b3c4d".
func (h HalfInfo) String() string {
	if !h.Media {
		return h.Why
	}
	name := h.Codec
	if name == "" {
		name = fmt.Sprintf("payload type %d", h.PayloadType)
		if h.Clock > 0 {
			name += fmt.Sprintf(" at %g kHz", float64(h.Clock)/1000)
		}
	}
	return fmt.Sprintf("%s, SSRC %08x: %s", name, h.SSRC, h.Why)
}
