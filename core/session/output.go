package session

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// Limits of one run, from what a kernel takes in one send: 64 segments and
// less than 65,507 bytes.
const (
	maxRunBytes    = 65000
	maxRunSegments = 64
)

// keepChunks bounds the memory an output keeps for its next use, 4 MiB.
const keepChunks = 64

// building is a run that may still grow.
type building struct {
	run    int // index in Output.Runs, plus one; 0: none
	closed bool
}

// reset makes the output empty.
func (o *Output) reset() {
	o.Runs, o.Packets, o.Changes, o.used = o.Runs[:0], o.Packets[:0], o.Changes[:0], 0
	o.open = [core.MaxLinks]building{}
	o.held = nil
	if len(o.chunks) > keepChunks {
		clear(o.chunks[keepChunks:])
		o.chunks = o.chunks[:keepChunks]
	}
}

// Deliver takes a packet from the resequencer. One that was held is copied, so
// that an output refers to no memory of the session: it can be carried out
// while the session goes on, and serve several sessions in turn.
func (o *Output) Deliver(p core.Packet, held *packet.Packet) {
	if held != nil {
		p.Data = append(o.hold(len(p.Data)), p.Data...)
		held.Release()
	}
	o.Packets = append(o.Packets, p)
}

// hold returns empty memory for a packet of n bytes.
func (o *Output) hold(n int) []byte {
	if n > cap(o.held)-len(o.held) {
		o.held = o.chunk()
	}
	at := len(o.held)
	o.held = o.held[:at+n]
	return o.held[at : at : at+n]
}

// space returns the memory in which the next datagram of a link, of at most
// size bytes, is to be built: empty, with at least that capacity. It is the
// free end of the link's run, or of a new one.
func (o *Output) space(id core.LinkID, path core.Path, size int) []byte {
	b := &o.open[id]
	if b.run > 0 {
		r := &o.Runs[b.run-1]
		if !b.closed && r.Path == path && size <= cap(r.Data)-len(r.Data) &&
			len(r.Data)+size <= maxRunBytes && len(r.Data) < maxRunSegments*r.Segment {
			return r.Data[len(r.Data):]
		}
	}
	o.Runs = append(o.Runs, Run{Link: id, Path: path, Data: o.chunk()})
	*b = building{run: len(o.Runs)}
	return o.Runs[b.run-1].Data
}

// chunk returns empty memory for one run.
func (o *Output) chunk() []byte {
	if o.used == len(o.chunks) {
		o.chunks = append(o.chunks, make([]byte, 0, maxRunBytes))
	}
	o.used++
	return o.chunks[o.used-1]
}

// sent takes the datagram that was built in the space of a link. A datagram
// longer than the first of its run cannot be part of it and begins a new one;
// a shorter one ends it.
func (o *Output) sent(id core.LinkID, d []byte) {
	b := &o.open[id]
	r := &o.Runs[b.run-1]
	switch {
	case len(r.Data) == 0:
		r.Segment = len(d)
	case len(d) > r.Segment:
		o.Runs = append(o.Runs, Run{Link: id, Path: r.Path, Data: append(o.chunk(), d...), Segment: len(d)})
		*b = building{run: len(o.Runs)}
		return
	case len(d) < r.Segment:
		b.closed = true
	}
	r.Data = r.Data[:len(r.Data)+len(d)]
}
