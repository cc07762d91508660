package tun

import (
	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// expander cuts the super-packets among packets to be written into ordinary
// ones, and leaves out what no device takes.
type expander struct {
	out   []core.Packet
	arena []byte
}

// expand returns packets that are ordinary, not empty and at most
// gso.MaxPacket bytes long; they are valid until the next call.
func (e *expander) expand(pkts []core.Packet, c *counters) []core.Packet {
	e.out, e.arena = e.out[:0], e.arena[:0]
	for _, p := range pkts {
		switch {
		case p.Segment != 0:
			e.cut(p, c)
		case len(p.Data) == 0:
			c.writeMalformed.Add(1)
		case len(p.Data) > gso.MaxPacket:
			c.writeOversize.Add(1)
		default:
			e.out = append(e.out, p)
		}
	}
	return e.out
}

func (e *expander) cut(p core.Packet, c *counters) {
	var cursor gso.Cursor
	if cursor.Init(p) != nil {
		c.writeMalformed.Add(1)
		return
	}
	for cursor.Left() > 0 {
		from := len(e.arena)
		e.arena = append(e.arena, make([]byte, cursor.NextLen())...)
		cursor.Next(e.arena[from:])
		e.out = append(e.out, core.Packet{Data: e.arena[from:len(e.arena):len(e.arena)], Partial: true})
	}
}
