package control

import (
	"context"
	"net"
)

// maxBeforeHello bounds the bytes that are read from a client before its Hello
// is complete: two ClientHellos with a hybrid key share, a certificate and the
// largest Hello fit, a record or certificate made to fill memory does not.
const maxBeforeHello = 24 << 10

// gate bounds how many handshakes compute at the same time, so that a flood of
// them leaves the processor to the tunnels. Waiting for the peer does not
// count: a slow peer holds no place.
type gate chan struct{}

// guard is the server's side of a connection whose client is not known yet. It
// is used by one goroutine until trust is called, and changes nothing after.
type guard struct {
	net.Conn
	left    int // bytes that may still be read
	trusted bool
	gate    gate
	inside  bool
}

// enter takes a place in the gate. It is left by itself when the handshake
// next reads or writes, since then its computation is done.
func (g *guard) enter(ctx context.Context) error {
	select {
	case g.gate <- struct{}{}:
		g.inside = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *guard) leave() {
	if g.inside {
		g.inside = false
		<-g.gate
	}
}

// trust ends the guarding.
func (g *guard) trust() {
	g.leave()
	g.trusted = true
}

func (g *guard) Read(p []byte) (int, error) {
	if g.trusted {
		return g.Conn.Read(p)
	}
	g.leave()
	if g.left == 0 {
		return 0, errTooMuch
	}
	n, err := g.Conn.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

func (g *guard) Write(p []byte) (int, error) {
	if !g.trusted {
		g.leave()
	}
	return g.Conn.Write(p)
}
