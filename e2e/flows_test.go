package e2e

import (
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// flow is what the specs read of a flow in `multilink flows --json`.
type flow struct {
	Protocol, Local, Remote, Class, Why string
	Sent, Received                      half
}

// half is one direction of a flow; only RTP has a payload type.
type half struct {
	Packets     int
	PayloadType *int `json:"payload_type"`
}

// flows asks the program for the flows in its tunnel.
func (p *program) flows() (list []flow) {
	GinkgoHelper()
	code, out := p.on.multilink("flows", "--json", "--socket", p.socket())
	Expect(code).To(BeZero(), out)
	var answer struct {
		Sessions []struct{ Flows []flow }
	}
	Expect(json.Unmarshal([]byte(out), &answer)).To(Succeed(), out)
	for _, s := range answer.Sessions {
		list = append(list, s.Flows...)
	}
	return list
}

// isCall says that the flow is treated as a call.
func (f flow) isCall() bool { return f.Class == "call" || f.Class == "maybe-call" }

// calls are the flows that are taken for calls for certain, RTCP left out.
func (p *program) calls() (list []flow) {
	GinkgoHelper()
	for _, f := range p.flows() {
		if f.Class == "call" && (f.Sent.PayloadType != nil || f.Received.PayloadType != nil) {
			list = append(list, f)
		}
	}
	return list
}
