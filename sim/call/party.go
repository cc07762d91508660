package call

import (
	"time"

	"github.com/pion/rtcp"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// ReportInterval is the time between a party's RTCP reports, the least that
// RFC 3550 section 6.2 allows; the first comes after half of it.
const ReportInterval = 5 * time.Second

// PortAttempts is how often a generator asks for an even port whose neighbour is
// free.
const PortAttempts = 64

// Party is one side of a call: it speaks, or listens, or both.
type Party struct {
	// Out is what it sends, In what it hears; nil where it does not.
	Out, In *Stream

	name    string
	ssrc    uint32
	reports int    // that came
	last    uint32 // middle of the NTP time in the other's last sender report
	lastAt  time.Duration
	// What the last reception report covered.
	expected, received int
}

// New makes the two parties of a call: a codec and a direction of the scenario
// language, "down" (to the client), "up" or "both". The seed gives sources,
// first numbers and content.
func New(codec, direction string, seed uint64) (client, host *Party, err error) {
	var down, up *Stream
	if direction != "up" {
		if down, err = newStream(codec, scenario.DeriveSeed(seed, "down")); err != nil {
			return nil, nil, err
		}
	}
	if direction != "down" {
		if up, err = newStream(codec, scenario.DeriveSeed(seed, "up")); err != nil {
			return nil, nil, err
		}
	}
	return newParty("client@testbed", up, down), newParty("host@testbed", down, up), nil
}

// newParty makes a party with its streams. The name is its CNAME.
func newParty(name string, out, in *Stream) *Party {
	p := &Party{Out: out, In: in, name: name}
	if out != nil {
		p.ssrc = out.ssrc
	} else {
		p.ssrc = ^in.ssrc // a listener has a source of its own, RFC 3550 section 8
	}
	return p
}

// Report makes the compound RTCP packet that the party sends: a sender report,
// or a receiver report, and the description of the source. wall is what the
// time of day is.
func (p *Party) Report(now time.Duration, wall time.Time) []byte {
	var heard []rtcp.ReceptionReport
	if p.In != nil && p.In.order.Received > 0 {
		heard = append(heard, p.reception(now))
	}
	var first rtcp.Packet = &rtcp.ReceiverReport{SSRC: p.ssrc, Reports: heard}
	if p.Out != nil && len(p.Out.sentAt) > 0 {
		first = p.sender(now, wall, heard)
	}
	packet, err := rtcp.Marshal([]rtcp.Packet{first, &rtcp.SourceDescription{
		Chunks: []rtcp.SourceDescriptionChunk{{
			Source: p.ssrc,
			Items:  []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: p.name}},
		}},
	}})
	if err != nil {
		panic("call: " + err.Error()) // a report of ours that cannot be written
	}
	return packet
}

func (p *Party) sender(now time.Duration, wall time.Time, heard []rtcp.ReceptionReport) *rtcp.SenderReport {
	last := len(p.Out.sentAt) - 1
	since := (now - p.Out.sentAt[last]).Seconds()
	return &rtcp.SenderReport{
		SSRC: p.ssrc, NTPTime: ntp(wall), Reports: heard,
		RTPTime:     p.Out.stampOf(last) + uint32(int32(since*float64(p.Out.clock))),
		PacketCount: uint32(last + 1), OctetCount: uint32(p.Out.octets),
	}
}

// reception is the report block about what the party hears, RFC 3550 section
// 6.4.1 and appendix A.3.
func (p *Party) reception(now time.Duration) rtcp.ReceptionReport {
	expected := p.In.highest + 1
	since, got := expected-p.expected, p.In.order.Received-p.received
	p.expected, p.received = expected, p.In.order.Received
	r := rtcp.ReceptionReport{
		SSRC:               p.In.ssrc,
		TotalLost:          uint32(expected - p.In.order.Received),
		LastSequenceNumber: uint32(p.In.sequence) + uint32(p.In.highest),
		Jitter:             uint32(p.In.jitter * float64(p.In.clock)),
	}
	if since > 0 && got < since {
		r.FractionLost = uint8(min(255, 256*(since-got)/since))
	}
	if p.last != 0 {
		r.LastSenderReport = p.last
		r.Delay = uint32((now - p.lastAt).Seconds() * 65536)
	}
	return r
}

// ntpEpoch is the beginning of NTP's time, in seconds before Unix's.
const ntpEpoch = 2208988800

// ntp is a time as RFC 3550 section 4 has it: seconds with 32 bits of fraction.
func ntp(t time.Time) uint64 {
	return uint64(t.Unix()+ntpEpoch)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// Heard takes an RTCP packet of the other party.
func (p *Party) Heard(now time.Duration, packet []byte) {
	all, err := rtcp.Unmarshal(packet)
	if err != nil {
		p.fault("a packet of %d bytes came that is no RTCP: %v", len(packet), err)
		return
	}
	for _, one := range all {
		switch report := one.(type) {
		case *rtcp.SenderReport:
			p.reports++
			p.last, p.lastAt = uint32(report.NTPTime>>16), now
		case *rtcp.ReceiverReport:
			p.reports++
		}
	}
}

// fault notes a finding that no run may pass with, with the stream the party
// is in: one that only speaks has no outcome of its own.
func (p *Party) fault(format string, args ...any) {
	if p.In != nil {
		p.In.out.Fault(format, args...)
		return
	}
	p.Out.out.Fault(format, args...)
}

// KeepAliveInterval is the time between the empty datagrams that a client sends
// which only listens, as RFC 6263 section 4.1 has it, so that NATs let the call
// in. It is short, as a client's first ones may be lost.
const KeepAliveInterval = 500 * time.Millisecond

// Outcome is what the listeners of a call's parties had of it until end: under
// "down" and "up" where both listen.
func Outcome(client, host *Party, end time.Duration) meter.Outcome {
	switch {
	case host.In == nil:
		return client.outcome(end)
	case client.In == nil:
		return host.outcome(end)
	}
	return meter.Both(client.outcome(end), host.outcome(end))
}

func (p *Party) outcome(end time.Duration) meter.Outcome {
	out := p.In.outcome(end)
	out.Values["reports"] = p.reports
	return out
}
