package session

import (
	"fmt"
	"math/bits"
	"net/netip"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
)

// Classes of a Flow.
const (
	ClassCall       = "call"        // recognised
	ClassMaybe      = "maybe-call"  // looks like a call so far, and is treated as one
	ClassLowLatency = "low-latency" // by a rule, or because the peer flagged it
	ClassOther      = "other"
)

// Flow is what a session believes of one inner TCP or UDP flow, in the form of
// `multilink flows --json`. Rates are in bit/s, durations in seconds.
type Flow struct {
	Protocol string         `json:"protocol"`
	Local    netip.AddrPort `json:"local"` // on this side of the tunnel
	Remote   netip.AddrPort `json:"remote"`
	Class    string         `json:"class"`
	Why      string         `json:"why,omitempty"`
	Evidence string         `json:"evidence,omitempty"` // signs of a call beside media
	Links    []string       `json:"links"`              // that the last packet sent took
	Age      float64        `json:"age"`
	Idle     float64        `json:"idle"`
	Sent     FlowHalf       `json:"sent"` // into the tunnel here
	Received FlowHalf       `json:"received"`
}

// FlowHalf is one direction of a Flow.
type FlowHalf struct {
	Packets uint64  `json:"packets"`
	Bytes   uint64  `json:"bytes"`
	Rate    float64 `json:"rate"`
	State   string  `json:"state"` // "other", "provisional" or "call"
	Why     string  `json:"why,omitempty"`
	// Of a call recognised by its RTP.
	PayloadType *uint8 `json:"payload_type,omitempty"`
	Codec       string `json:"codec,omitempty"`
	SSRC        string `json:"ssrc,omitempty"`
	Clock       uint32 `json:"clock,omitempty"` // Hz
}

// Classifier is the name of the classifier in force.
func (s *Session) Classifier() string { return s.calls.table.Name() }

// Flows lists what the session believes of its flows.
func (s *Session) Flows(now core.Time) []Flow {
	known := s.calls.table.Flows(now)
	list := make([]Flow, 0, len(known))
	for i := range known {
		list = append(list, s.describe(now, &known[i]))
	}
	return list
}

func (s *Session) describe(now core.Time, k *classify.FlowInfo) Flow {
	f := Flow{
		Protocol: k.Protocol, Local: k.Local, Remote: k.Remote, Evidence: k.Evidence, Links: []string{},
		Age: now.Sub(k.Began).Seconds(), Idle: now.Sub(k.Seen).Seconds(),
		Sent: describeHalf(&k.Sent), Received: describeHalf(&k.Received),
	}
	for set := k.Links; set != 0; set &= set - 1 {
		if l := s.links[bits.TrailingZeros16(set)]; l != nil {
			f.Links = append(f.Links, l.name)
		}
	}
	// What speaks for the class is the half that was recognised.
	half := &k.Sent
	if k.Received.State > half.State || half.Why == "" {
		half = &k.Received
	}
	f.Class, f.Why = ClassOther, half.String()
	switch {
	case k.State == classify.Confirmed:
		f.Class = ClassCall
	case k.State == classify.Provisional:
		f.Class = ClassMaybe
	case k.LowLatency:
		f.Class, f.Why = ClassLowLatency, "by a rule, or the peer sends it so"
	}
	return f
}

func describeHalf(k *classify.HalfInfo) FlowHalf {
	h := FlowHalf{Packets: k.Packets, Bytes: k.Bytes, Rate: k.Rate * 8, State: k.State.String(), Why: k.Why}
	if k.Media {
		h.PayloadType, h.Codec, h.Clock = &k.PayloadType, k.Codec, k.Clock
		h.SSRC = fmt.Sprintf("%08x", k.SSRC)
	}
	return h
}
