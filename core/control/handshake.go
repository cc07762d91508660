package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// handshaker is what a server needs to get to know a client.
type handshaker struct {
	cert    tls.Certificate
	public  PublicKey
	allow   func(PublicKey) bool
	gate    gate
	timeout time.Duration
}

// handshake does the TLS handshake, reads the Hello and answers it when it
// cannot be accepted. On an error nc is closed.
func (s *handshaker) handshake(ctx context.Context, nc net.Conn) (*Conn, Hello, error) {
	g := &guard{Conn: nc, left: maxBeforeHello, gate: s.gate}
	var (
		conn  *Conn
		hello Hello
	)
	err := within(ctx, nc, s.timeout, func(ctx context.Context) (err error) {
		defer g.leave()
		if conn, err = s.secure(ctx, g); err == nil {
			hello, err = s.greet(conn)
		}
		return err
	})
	if err != nil {
		nc.Close()
		return nil, Hello{}, s.explain(nc.RemoteAddr().String(), err)
	}
	g.trust()
	return conn, hello, nil
}

// secure does the TLS handshake with a client of any key: only after it can
// the client be told in words that its key is unknown.
func (s *handshaker) secure(ctx context.Context, g *guard) (*Conn, error) {
	var peer PublicKey
	cfg := config(s.cert, func(key PublicKey) error { peer = key; return nil })
	// This is called when the ClientHello is complete and the expensive part
	// begins.
	cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return nil, g.enter(ctx)
	}
	conn := tls.Server(g, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return &Conn{tls: conn, peer: peer}, nil
}

// greet reads the Hello and rejects what no server of this version accepts.
func (s *handshaker) greet(conn *Conn) (Hello, error) {
	m, err := conn.receive(maxHello)
	if errors.Is(err, ErrMalformed) {
		return Hello{}, refuse(conn, CodeBadRequest, err)
	}
	if err != nil {
		return Hello{}, err
	}
	hello, ok := m.(Hello)
	switch {
	case !ok:
		return Hello{}, refuse(conn, CodeBadRequest, fmt.Errorf("%w: %T before Hello", ErrMalformed, m))
	case !s.allow(conn.peer):
		unknown := &UnknownClientError{Addr: conn.RemoteAddr().String(), Key: conn.peer}
		return Hello{}, errors.Join(unknown, reject(conn, CodeUnknownKey, fmt.Sprintf(
			"the server does not know this client's key %s: it has to be added to [[clients]] of the server", conn.peer)))
	case hello.Version != Version:
		return Hello{}, refuse(conn, CodeVersion, &VersionError{Theirs: hello.Version})
	}
	return hello, nil
}

// refuse rejects for the reason that why says, and returns it.
func refuse(conn *Conn, code Code, why error) error {
	return errors.Join(why, reject(conn, code, why.Error()))
}

// reject tells the client why it is turned away and ends the connection.
func reject(conn *Conn, code Code, reason string) error {
	err := conn.Send(Reject{Code: code, Reason: printable(reason, maxReason)})
	return errors.Join(err, conn.Close())
}

// explain says whose fault it was, in the words of who has to read it.
func (s *handshaker) explain(addr string, err error) error {
	if unknown, ok := errors.AsType[*UnknownClientError](err); ok {
		return unknown
	}
	// crypto/tls does not export the alert that a peer sent. Ours sends this
	// one when the server's key is not the one it pins.
	if alert, ok := errors.AsType[*net.OpError](err); ok && alert.Op == "remote error" && alert.Err.Error() == "tls: bad certificate" {
		return &PinnedOtherError{Addr: addr, Key: s.public}
	}
	return fmt.Errorf("client at %s: %w", addr, err)
}
