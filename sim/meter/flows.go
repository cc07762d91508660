package meter

import "net/netip"

// Flow names one direction of a TCP connection.
type Flow struct{ Source, Destination netip.AddrPort }

// MaxFlows bounds the connections Flows follows; later ones are not.
const MaxFlows = 4096

// Flows counts reordered and duplicate packets over several TCP connections.
type Flows struct{ orders map[Flow]*TCPOrder }

// Arrive counts a segment of a connection.
func (f *Flows) Arrive(flow Flow, s Segment) {
	order, ok := f.orders[flow]
	if !ok {
		if len(f.orders) >= MaxFlows {
			return
		}
		if f.orders == nil {
			f.orders = map[Flow]*TCPOrder{}
		}
		order = &TCPOrder{}
		f.orders[flow] = order
	}
	order.Arrive(s)
}

// Reordered is the share of packets that were reordered.
func (f *Flows) Reordered() float64 {
	received, reordered, _ := f.sums()
	return Share(reordered, received)
}

// Duplicates is the share of packets, duplicates among them, that brought
// nothing new.
func (f *Flows) Duplicates() float64 {
	received, _, duplicates := f.sums()
	return Share(duplicates, received+duplicates)
}

func (f *Flows) sums() (received, reordered, duplicates int) {
	for _, order := range f.orders {
		received += order.Received
		reordered += order.Reordered
		duplicates += order.Duplicates
	}
	return received, reordered, duplicates
}
