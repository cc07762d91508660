package underlay

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// keepAlive finds a dead peer of an idle control connection in half a minute.
var keepAlive = net.KeepAliveConfig{
	Enable:   true,
	Idle:     15 * time.Second,
	Interval: 5 * time.Second,
	Count:    3,
}

// DialTCP connects to o.Remote over the link that o describes. Data that is
// not acknowledged for 10 s ends the connection.
func DialTCP(ctx context.Context, o Options) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: prepare(bindTo(o), setTCP)}
	d.SetMultipathTCP(false)
	if o.Listen.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(unmapPort(o.Listen))
	}
	c, err := d.DialContext(ctx, "tcp", unmapPort(o.Remote).String())
	if err != nil {
		return nil, explain(describe(o), err)
	}
	return c, nil
}

// ListenTCP listens for control connections; addr means what Options.Listen
// means on a server.
func ListenTCP(addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive, Control: prepare(setTCP)}
	lc.SetMultipathTCP(false)
	l, err := listenAny(addr, func(family, address string) (net.Listener, error) {
		return lc.Listen(context.Background(), "tcp"+family, address)
	})
	if err != nil {
		return nil, explain(describe(Options{Listen: addr}), err)
	}
	return l, nil
}
