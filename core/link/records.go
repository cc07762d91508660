package link

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// maxRecords bounds the datagrams whose fate is unknown: half a second at
// 1.5 Gbit/s. Beyond it the oldest are given up as lost.
const maxRecords = 1 << 16

// fate of a sent datagram.
type fate uint8

const (
	outstanding fate = iota
	acked
	lost
)

// A link has next to nothing to carry while less than lightFlight bytes are on their
// way, a packet of the usual size, or less than one in lightShare of its window.
const (
	lightFlight = 1200
	lightShare  = 20
)

// record is what the sender remembers of a datagram.
type record struct {
	at   core.Time
	size int32 // bytes from the outer IP header on; 0: not ack-eliciting
	fate fate
	// light: sent while the link had next to nothing to carry.
	light bool
	// probe: it searches the path MTU, and says nothing else.
	probe bool
	part  wire.Part // of held that it carries
	// held is the packet to repair when this is lost, or nil.
	held *packet.Packet
}

// record appends to what is remembered.
func (s *Sender) record(r record) {
	s.estimated = false
	if len(s.records)-s.head >= maxRecords {
		s.giveUpOldest()
	}
	s.compact()
	s.records = append(s.records, r)
	s.next++
	s.stats.Datagrams++
}

// compact moves the records to the front of their array when half of it is
// behind the head, so that the array stays as long as twice the flight.
func (s *Sender) compact() {
	if s.head > 64 && s.head*2 >= len(s.records) {
		n := copy(s.records, s.records[s.head:])
		clear(s.records[n:])
		s.records = s.records[:n]
		s.head = 0
	}
}

func (s *Sender) giveUpOldest() {
	r := &s.records[s.head]
	if r.fate == outstanding {
		s.inFlight -= int(r.size)
		s.stats.GivenUp++
	}
	s.drop(r)
	s.head++
	s.base++
}

func (s *Sender) drop(r *record) {
	if r.held != nil {
		r.held.Release()
		r.held = nil
	}
}

// trim lets go of the records at the front whose fate is known.
func (s *Sender) trim() {
	for s.head < len(s.records) && s.records[s.head].fate != outstanding {
		s.head++
		s.base++
	}
	if s.head == len(s.records) {
		s.records, s.head = s.records[:0], 0
	}
}

// idleRecords is the room for records that an idle link keeps.
const idleRecords = 64

// Trim gives back the memory that a busy link took, if nothing is on its way.
func (s *Sender) Trim() {
	if len(s.records) == s.head && cap(s.records) > idleRecords {
		s.records, s.head = nil, 0
	}
	if len(s.window.history) <= idleRecords && cap(s.window.history) > idleRecords {
		s.window.history = append([]point(nil), s.window.history...)
	}
}
