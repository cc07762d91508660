// Package reseq restores the order of packets that took links of different
// delay. A resequencer is handed every packet that is new; what is in order
// passes at once, the rest is held until the gap closes, is known to be for
// good, or has waited long enough.
package reseq

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Limits of what a resequencer may hold. MaxHeld is twice the sum of the
// bandwidth-delay products of 300 Mbit/s at 150 ms.
const (
	MaxHeld  = 8192           // packets
	MaxBytes = MaxHeld * 1400 // bytes
	MaxHold  = 800 * time.Millisecond
)

// Arrival is a packet that came over a link and was not seen before.
type Arrival struct {
	Header wire.PacketHeader
	Link   core.LinkID
	Packet core.Packet // its data is borrowed until Push returns
}

// Env is what a session knows of its links, the same for every packet of a
// batch.
type Env struct {
	Now core.Time
	// Spread is the difference between the one-way delays of the slowest and
	// the fastest link in use, Jitter the largest of their jitters.
	Spread, Jitter time.Duration
	// Repair is how long a lost packet takes to come again; 0 when the
	// sender does not retransmit.
	Repair time.Duration
	// Outage is how long the sender may take to notice that a link is down
	// which delivered something of late and no longer does, before it repairs
	// what was on its way there; 0 when there is no such link.
	Outage time.Duration
	// Lag is how far this host is behind with reading what came: a packet that
	// seems late may wait in a socket.
	Lag time.Duration
	// Links are those that delivered something of late, one bit each.
	Links uint16
	// OpenGaps are losses on links whose repair may still come.
	OpenGaps int
	// Pool is where held packets live. A packet that cannot be held for want
	// of room is delivered instead, out of order.
	Pool *packet.Pool
}

// Sink takes what a resequencer lets go, in order. held is the memory of p
// when it was held, and its reference passes; nil when p is borrowed.
type Sink interface {
	Deliver(p core.Packet, held *packet.Packet)
}

// Stats count what a resequencer did.
type Stats struct {
	Reordered   uint64 // arrived after one that should follow it
	Held        uint64 // had to wait
	GapsSkipped uint64 // sequences given up
	Late        uint64 // came after they were given up
	Overflow    uint64 // let go early for want of room
	HeldBytes   int    // waiting now
	HeldPackets int
}

// Resequencer restores order.
type Resequencer interface {
	// Name is its name in the configuration.
	Name() string
	// Push takes a packet and delivers what may go.
	Push(e *Env, a *Arrival, out Sink)
	// HandleTimeout delivers what has waited long enough. It may be called at
	// any time.
	HandleTimeout(e *Env, out Sink)
	// NextTimeout is when HandleTimeout has something to do.
	NextTimeout() core.Time
	// Flush delivers all that is held.
	Flush(out Sink)
	Stats() Stats
}

// Default is the resequencer in force when nothing is configured.
const Default = "flow"

// table holds every resequencer by name.
var table = map[string]func() Resequencer{
	"flow":   func() Resequencer { return newFlow() },
	"global": func() Resequencer { return newGlobal() },
	"none":   func() Resequencer { return &passThrough{} },
	"tcp":    func() Resequencer { return newTCP() },
}

// New makes the resequencer of a name.
func New(name string) (Resequencer, error) {
	f, ok := table[name]
	if !ok {
		return nil, fmt.Errorf("unknown resequencer %q: one of %s", name, strings.Join(Names(), ", "))
	}
	return f(), nil
}

// Names lists the resequencers.
func Names() []string { return slices.Sorted(maps.Keys(table)) }

// passThrough delivers packets as they come.
type passThrough struct{ none Stats }

func (*passThrough) Name() string                      { return "none" }
func (*passThrough) Push(_ *Env, a *Arrival, out Sink) { out.Deliver(a.Packet, nil) }
func (*passThrough) HandleTimeout(*Env, Sink)          {}
func (*passThrough) NextTimeout() core.Time            { return core.Never }
func (*passThrough) Flush(Sink)                        {}
func (p *passThrough) Stats() Stats                    { return p.none }
