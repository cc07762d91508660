package engine

import (
	"sync/atomic"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/control"
)

// carrier sends a link's datagrams by UDP, or over the control connection where
// the session says so.
type carrier struct {
	udp     datagramWriter
	control *control.Conn
	dropped *atomic.Uint64 // for want of room before the control connection
}

func (c *carrier) Write(data []byte, segment int, p core.Path) error {
	if !p.Stream {
		return c.udp.Write(data, segment, p)
	}
	if n := c.control.WriteDatagrams(data, segment); n > 0 {
		c.dropped.Add(uint64(n))
	}
	return nil
}

// receiveFrom takes the datagrams of a control connection to a link.
func (d *driver) receiveFrom(c *control.Conn, id core.LinkID) {
	c.OnDatagram(func(data []byte) {
		d.HandleDatagrams(id, []core.Datagram{{Data: data, Path: core.Path{Stream: true}}})
	})
}
