package virtual

import (
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/multilink-vpn/multilink/sim/virtual/meter"
)

// tap counts the reordered packets of TCP connections with one host service,
// as a capture at the receiving machine would.
type tap struct {
	port        uint16 // of the service
	source      bool   // the service sends: its port is the source
	connections map[connection]*meter.TCPOrder
}

// connection tells the connections of a service apart by the client's port.
type connection uint16

// newTap watches what a machine receives from the service (source) or for it.
func newTap(m *machine, port uint16, source bool) *tap {
	t := &tap{port: port, source: source, connections: map[connection]*meter.TCPOrder{}}
	m.tap = append(m.tap, t.see)
	return t
}

func (t *tap) see(packet []byte) {
	segment := tcpOf(packet)
	if segment == nil {
		return
	}
	service, other := segment.SourcePort(), segment.DestinationPort()
	if !t.source {
		service, other = other, service
	}
	if service != t.port {
		return
	}
	order := t.connections[connection(other)]
	if order == nil {
		order = &meter.TCPOrder{}
		t.connections[connection(other)] = order
	}
	options := segment.ParsedOptions()
	order.Arrive(meter.Segment{
		Sequence: segment.SequenceNumber(),
		Payload:  len(segment.Payload()),
		SYN:      segment.Flags()&header.TCPFlagSyn != 0,
		Stamped:  options.TS,
		Stamp:    options.TSVal,
	})
}

// reordered is the share of reordered packets.
func (t *tap) reordered() float64 {
	received, reordered := 0, 0
	for _, o := range t.connections {
		received += o.Received
		reordered += o.Reordered
	}
	return meter.Share(reordered, received)
}

// tcpOf is the TCP segment in an unfragmented IP packet, nil if there is none.
func tcpOf(packet []byte) header.TCP {
	var segment []byte
	switch header.IPVersion(packet) {
	case header.IPv4Version:
		ip := header.IPv4(packet)
		if !ip.IsValid(len(packet)) || ip.Protocol() != uint8(header.TCPProtocolNumber) || ip.More() || ip.FragmentOffset() != 0 {
			return nil
		}
		segment = ip.Payload()
	case header.IPv6Version:
		ip := header.IPv6(packet)
		if !ip.IsValid(len(packet)) || ip.NextHeader() != uint8(header.TCPProtocolNumber) {
			return nil
		}
		segment = ip.Payload()
	}
	if len(segment) < header.TCPMinimumSize {
		return nil
	}
	if offset := int(header.TCP(segment).DataOffset()); offset < header.TCPMinimumSize || offset > len(segment) {
		return nil
	}
	return segment
}
