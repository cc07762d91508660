package classify

import (
	"math/bits"

	"github.com/multilink-vpn/multilink/core"
)

// rtp recognises calls by what RTP does over several packets: one source whose
// sequence grows by small steps and whose timestamps move with the time, at a
// clock that media have. The payload is not looked at, so that SRTP is as good.
// STUN, DTLS or RTCP on the flow, or a call in the other direction, lend
// evidence. docs/calls.md describes the rules.
type rtp struct{}

// Packets of one source that it takes.
const (
	provisionalAt         = 5
	provisionalByEvidence = 3
	confirmedAt           = 10
	// Of the last lastOutcomes packets, maxFailures revoke.
	lastOutcomes = 20
	maxFailures  = 3
	// Each revocation doubles what it takes, up to this often.
	maxRevoked = 5
)

// outcome is what a packet says of the flow being a call.
type outcome uint8

const (
	neutral outcome = iota
	pass
	fail
	refute // enough to revoke alone
)

func (rtp) inspect(t *Table, now core.Time, f *flow, h *half, b []byte) {
	b, wrapped := unwrap(b)
	var r rtpHeader
	switch kindOf(b, &r) {
	case kindEmpty:
	case kindSTUN:
		f.evidence |= evidenceSTUN
	case kindDTLS:
		f.evidence |= evidenceDTLS
	case kindRTCP:
		t.control(f, h, be32(b[4:]))
	case kindRTP:
		t.media(now, f, h, &r)
		f.wrapped = f.wrapped || wrapped && h.state > Other
	default:
		t.outcome(h, fail, whyGate)
	}
}

// outcome counts what a packet said, and revokes.
func (t *Table) outcome(h *half, o outcome, why reason) {
	switch o {
	case pass:
		h.recent <<= 1
		return
	case neutral:
		return
	}
	h.recent = h.recent<<1 | 1
	if o == refute {
		h.recent = 1<<maxFailures - 1
	}
	if h.state == Other {
		h.why = why
	} else if h.failures() >= maxFailures {
		t.revoke(h)
	}
}

func (h *half) failures() int { return bits.OnesCount32(h.recent & (1<<lastOutcomes - 1)) }

func (t *Table) revoke(h *half) {
	h.state, h.why, h.recent = Other, whyRevoked, 0
	h.revoked = min(h.revoked+1, maxRevoked)
	t.stats.Revoked++
}

// control takes an RTCP packet: evidence when it is of a source of the flow, or
// of the flow on the ports below, whose fate it shares then.
func (t *Table) control(f *flow, h *half, ssrc uint32) {
	if f.has(ssrc) {
		f.evidence |= evidenceRTCP
		return
	}
	g := t.sibling(f)
	if g == nil || f.state() > Other && h.why != whyRTCPBeside {
		return
	}
	if g.has(ssrc) {
		g.evidence |= evidenceRTCP
	}
	h.state, h.why = g.state(), whyRTCPBeside
}

// has tells whether a source was seen in either half.
func (f *flow) has(ssrc uint32) bool {
	if f.tracks == nil {
		return false
	}
	for i := range f.tracks {
		for j := range f.tracks[i] {
			if tr := &f.tracks[i][j]; tr.good > 0 && tr.ssrc == ssrc {
				return true
			}
		}
	}
	return false
}

// media takes a packet with an RTP header.
func (t *Table) media(now core.Time, f *flow, h *half, r *rtpHeader) {
	const lowPorts = 1024
	negotiated := f.evidence&(evidenceSTUN|evidenceDTLS) != 0
	if !known(r.payloadType, negotiated) {
		t.outcome(h, fail, whyPayloadType)
		return
	}
	if min(f.a.port, f.b.port) < lowPorts && !negotiated {
		t.outcome(h, fail, whyLowPort)
		return
	}
	if f.tracks == nil {
		f.tracks = new([2][maxTracks]track)
	}
	side := toPeer
	if h == &f.halves[fromPeer] {
		side = fromPeer
	}
	tracks := &f.tracks[side]
	i, first := findTrack(tracks, r.ssrc)
	tr := &tracks[i]
	if tr.good == 0 || tr.ssrc != r.ssrc {
		tr.begin(now, r)
		// Random bytes make a new source of each packet. Negotiated calls may
		// have many.
		o := fail
		if first || f.evidence != 0 {
			o = neutral
		}
		t.outcome(h, o, whySource)
		return
	}
	o, why := tr.advance(now, r)
	if t.outcome(h, o, why); o == pass {
		t.promote(h, f.halves[1-side].state == Confirmed, f.evidence, tr, uint8(i))
	}
}

// promote believes in a call when a track shows enough.
func (t *Table) promote(h *half, peer bool, e evidence, tr *track, index uint8) {
	if h.state == Confirmed || h.failures() >= maxFailures {
		return
	}
	supported := peer || e != 0
	if !supported && !tr.moved() || !tr.plausible() {
		if h.state == Other {
			h.why = whyClock
		}
		return
	}
	needed := uint32(provisionalAt)
	if supported {
		needed = provisionalByEvidence
	}
	switch good := uint32(tr.good); {
	case good >= confirmedAt<<h.revoked && (supported || tr.moves >= 2):
		h.state = Confirmed
		t.stats.Confirmed++
	case good >= needed<<h.revoked:
		h.state = Provisional
	default:
		return
	}
	h.best, h.why = index, whySequence
	if supported {
		h.why = whyEvidence
	}
}
