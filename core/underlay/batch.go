package underlay

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// maxDatagram is the room for one datagram, or for one run received as one.
const maxDatagram = 1 << 16

// Datagram is one received datagram, on a server with the address it was
// sent to.
type Datagram = core.Datagram

// Batch receives the datagrams of a Read. The zero Batch is ready for use; it
// keeps its memory from one Read to the next.
type Batch struct {
	// Datagrams are those of the last Read.
	Datagrams []Datagram

	ring *ring  // of the fast version
	one  []byte // of the portable version
	oob  []byte
}

// add cuts a run of the given age into datagrams of segment bytes; 0 means that
// it is one. Datagrams without data are left out.
func (b *Batch) add(run []byte, segment int, p core.Path, age time.Duration) {
	if segment <= 0 {
		segment = len(run)
	}
	for len(run) > 0 {
		n := min(segment, len(run))
		b.Datagrams = append(b.Datagrams, Datagram{Data: run[:n:n], Path: p, Age: age})
		run = run[n:]
	}
}
