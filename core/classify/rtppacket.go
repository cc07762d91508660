package classify

import "github.com/multilink-vpn/multilink/core"

// rtpPacket judges each packet by itself: version 2, a payload type that media
// have, and a header that fits. It is there to be compared with.
type rtpPacket struct{}

func (rtpPacket) inspect(_ *Table, _ core.Time, _ *flow, h *half, b []byte) {
	var r rtpHeader
	h.state, h.why = Other, whyGate
	if kindOf(b, &r) == kindRTP && known(r.payloadType, false) {
		h.state, h.why = Confirmed, whyPacket
	}
}
