// Package control is the control connection of a link: TLS 1.3 over any
// net.Conn, both ends known by their Ed25519 keys, with the messages that open
// a session, add a link to it and keep it.
//
// The client calls [Client], then [Conn.Open]. Only its result says that the
// server accepts the client: in TLS 1.3 a client's handshake is complete
// before the server has seen its certificate. The server takes its clients
// from a [Listener], which bounds what unknown clients can cost.
package control

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// HandshakeTimeout bounds each wait before a connection is established: a
// client's for the TLS handshake and for the answer to its Hello, a server's for
// both the handshake and the Hello.
const HandshakeTimeout = 10 * time.Second

// sendTimeout bounds one Send. Messages are small: if one does not fit into
// the socket's buffer, the link is stuck.
const sendTimeout = 10 * time.Second

// Conn is an established control connection. Send and Post may be called by
// several goroutines, Receive by one. An error of either means that the connection is
// of no more use.
type Conn struct {
	tls     *tls.Conn
	peer    PublicKey
	idle    atomic.Int64 // time.Duration; 0: none
	sending sync.Mutex
	skipped atomic.Uint64

	posts     posts
	datagrams datagrams
}

// Client makes nc a control connection to the server with that key. On an
// error nc is closed.
func Client(ctx context.Context, nc net.Conn, key PrivateKey, server PublicKey) (*Conn, error) {
	addr := nc.RemoteAddr().String()
	cert, err := certificate(key)
	if err != nil {
		nc.Close()
		return nil, err
	}
	cfg := config(cert, func(presented PublicKey) error {
		if presented != server || server.IsZero() {
			return &WrongServerError{Addr: addr, Presented: presented, Pinned: server}
		}
		return nil
	})
	c := &Conn{tls: tls.Client(nc, cfg), peer: server}
	err = within(ctx, nc, HandshakeTimeout, func(ctx context.Context) error {
		return c.tls.HandshakeContext(ctx)
	})
	if err == nil {
		return c, nil
	}
	nc.Close()
	if wrong, ok := errors.AsType[*WrongServerError](err); ok {
		return nil, wrong
	}
	return nil, fmt.Errorf("control connection to the server at %s: %w", addr, err)
}

// Open says hello and waits for the answer, at most for [HandshakeTimeout]. If
// the server refuses, the error is a [*RejectError]. After an error the
// connection is closed.
func (c *Conn) Open(ctx context.Context, h Hello) (Welcome, error) {
	var answer Message
	err := within(ctx, c.tls.NetConn(), HandshakeTimeout, func(context.Context) (err error) {
		if err = c.Send(h); err == nil {
			answer, err = c.Receive()
		}
		return err
	})
	addr := c.RemoteAddr().String()
	if err == nil {
		switch m := answer.(type) {
		case Welcome:
			return m, nil
		case Reject:
			err = &RejectError{Addr: addr, Reject: m}
		default:
			err = fmt.Errorf("the server at %s answered a hello with %T", addr, m)
		}
	} else if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the server at %s closed the connection before it answered: it is stopping or has too much to do", addr)
	} else {
		err = fmt.Errorf("the server at %s did not answer the hello: %w", addr, err)
	}
	c.Close()
	return Welcome{}, err
}

// Server makes nc a control connection of a client and reads its Hello, all
// within [HandshakeTimeout]. A client whose key allow does not want, whose
// version is another or whose Hello is malformed is told so. On an error nc is
// closed.
func Server(ctx context.Context, nc net.Conn, key PrivateKey, allow func(PublicKey) bool) (*Conn, Hello, error) {
	cert, err := certificate(key)
	if err != nil {
		nc.Close()
		return nil, Hello{}, err
	}
	s := handshaker{cert: cert, public: key.Public(), allow: allow, gate: make(gate, 1), timeout: HandshakeTimeout}
	return s.handshake(ctx, nc)
}

// Send writes one message, and waits until it has left.
func (c *Conn) Send(m Message) error {
	frame, err := encode(m)
	if err != nil {
		return err
	}
	return c.write(frame)
}

// Receive waits for the next message, at most for the idle timeout. The error
// is io.EOF when the peer has closed the connection.
func (c *Conn) Receive() (Message, error) { return c.receive(MaxMessage) }

func (c *Conn) receive(limit int) (Message, error) {
	for {
		if idle := time.Duration(c.idle.Load()); idle > 0 {
			if err := c.tls.SetReadDeadline(time.Now().Add(idle)); err != nil {
				return nil, err
			}
		}
		k, body, err := readFrame(c.tls, limit, c.datagrams.body)
		if err != nil {
			return nil, err
		}
		if k == kindDatagram && c.datagrams.handle != nil {
			c.datagrams.handle(body)
			c.datagrams.body = body[:0]
			continue
		}
		m, err := decode(k, body)
		if err != nil {
			return nil, err
		}
		if m != nil {
			return m, nil
		}
		c.skipped.Add(1)
	}
}

// SetIdleTimeout bounds the wait of each later Receive; 0, the default, does
// not. Who sets it must make sure that the peer has something to say in that
// time, for example by sending Ping.
func (c *Conn) SetIdleTimeout(d time.Duration) { c.idle.Store(int64(d)) }

// Skipped counts the messages that were skipped because their type is unknown.
func (c *Conn) Skipped() uint64 { return c.skipped.Load() }

// Peer returns the key that the other end proved to have.
func (c *Conn) Peer() PublicKey { return c.peer }

// Export is the TLS exporter (RFC 8446 7.5): both ends get the same n bytes
// for the same label and context.
func (c *Conn) Export(label string, context []byte, n int) ([]byte, error) {
	cs := c.tls.ConnectionState()
	return cs.ExportKeyingMaterial(label, context, n)
}

// LocalAddr returns this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.tls.LocalAddr() }

// RemoteAddr returns the other end's address.
func (c *Conn) RemoteAddr() net.Addr { return c.tls.RemoteAddr() }

// Close ends the connection and any Send and Receive in progress.
func (c *Conn) Close() error { return c.tls.Close() }

// within runs f and closes nc when ctx ends or the time is over before f
// returns, so that f ends in any case.
func within(ctx context.Context, nc net.Conn, limit time.Duration, f func(context.Context) error) error {
	limited, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w (%v)", ErrTimeout, limit))
	defer cancel()
	stop := context.AfterFunc(limited, func() { nc.Close() })
	err := f(limited)
	// f may have heard that the time is over before AfterFunc did.
	if !stop() || err != nil && limited.Err() != nil {
		return context.Cause(limited)
	}
	return err
}
