package virtual

import "github.com/multilink-vpn/multilink/sim/meter"

// tap counts the reordered and the duplicate packets of TCP connections with one
// host service, as a capture at the receiving machine would. The links' own
// copies end in the tunnel: a duplicate is a retransmission that was not needed.
type tap struct {
	port   uint16 // of the service
	source bool   // the service sends: its port is the source
	flows  meter.Flows
}

// newTap watches what a machine receives from the service (source) or for it.
func newTap(m *machine, port uint16, source bool) *tap {
	t := &tap{port: port, source: source}
	m.tap = append(m.tap, t.see)
	return t
}

func (t *tap) see(packet []byte) {
	flow, segment, ok := meter.ParseTCP(packet)
	if !ok {
		return
	}
	service := flow.Destination
	if t.source {
		service = flow.Source
	}
	if service.Port() == t.port {
		t.flows.Arrive(flow, segment)
	}
}
