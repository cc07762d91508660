package classify

import "github.com/multilink-vpn/multilink/core"

// rtpBasic is the rule of the prototype (after Matousek, Rysavy, Kmet 2014). A
// packet passes when both ports are above 1024, the version is 2 and the payload
// type is dynamic; a flow is a call while at least half of its packets passed.
type rtpBasic struct{}

func (rtpBasic) inspect(_ *Table, _ core.Time, f *flow, h *half, b []byte) {
	const lowPorts = 1024
	h.judged++
	if f.a.port > lowPorts && f.b.port > lowPorts &&
		len(b) >= rtpFixed && b[0]>>6 == 2 && b[1]&0x7f >= 96 {
		h.passed++
	}
	h.state, h.why = Other, whyMinority
	if 2*uint64(h.passed) >= uint64(h.judged) {
		h.state, h.why = Confirmed, whyMajority
	}
}
