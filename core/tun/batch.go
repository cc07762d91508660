package tun

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

const (
	// maxBatch bounds the packets of one Read.
	maxBatch = 64
	// slot is the room that a read must find in the arena, whatever comes.
	slot = vnetLen + gso.MaxPacket
	// arenaSize bounds the bytes of one Read: one super-packet of more than half
	// the full length, or maxBatch of what an interactive host sends. More would be
	// read before the first is sealed and leave the processor's cache on the way:
	// with seven super-packets four TCP streams were 10 % slower.
	arenaSize = slot + slot/2
)

// Batch receives the packets of a Read. The zero Batch is ready for use; it
// keeps its memory from one Read to the next.
type Batch struct {
	// Packets are those of the last Read.
	Packets []core.Packet

	arena []byte
	used  int
}

// reset empties the batch and gives it its memory.
func (b *Batch) reset() {
	if b.arena == nil {
		b.arena = make([]byte, arenaSize)
	}
	b.Packets, b.used = b.Packets[:0], 0
}

// room returns where the next packet can be read to, or nil when the batch is
// full.
func (b *Batch) room() []byte {
	if len(b.Packets) == maxBatch || len(b.arena)-b.used < slot {
		return nil
	}
	return b.arena[b.used : b.used+slot : b.used+slot]
}
