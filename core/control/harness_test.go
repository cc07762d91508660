package control

import (
	"crypto/tls"
	"net"
	"reflect"
	"testing"
)

func newKey(t testing.TB) PrivateKey {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// loopback returns the two ends of a TCP connection.
func loopback(t testing.TB) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

type served struct {
	conn  *Conn
	hello Hello
	err   error
}

// serve runs Server on nc and gives its result.
func serve(t testing.TB, nc net.Conn, key PrivateKey, allow func(PublicKey) bool) <-chan served {
	result := make(chan served, 1)
	go func() {
		c, h, err := Server(t.Context(), nc, key, allow)
		result <- served{c, h, err}
	}()
	return result
}

func anyKey(PublicKey) bool { return true }

// pair returns an established connection; the server has the client's Hello.
func pair(t testing.TB) (client, server *Conn) {
	t.Helper()
	serverKey, clientKey := newKey(t), newKey(t)
	a, b := loopback(t)
	result := serve(t, b, serverKey, func(k PublicKey) bool { return k == clientKey.Public() })
	client, err := Client(t.Context(), a, clientKey, serverKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Send(testHello()); err != nil {
		t.Fatal(err)
	}
	s := <-result
	if s.err != nil {
		t.Fatal(s.err)
	}
	if !reflect.DeepEqual(s.hello, testHello()) {
		t.Fatalf("hello came as %+v", s.hello)
	}
	if client.Peer() != serverKey.Public() || s.conn.Peer() != clientKey.Public() {
		t.Fatal("an end does not know its peer's key")
	}
	t.Cleanup(func() { client.Close(); s.conn.Close() })
	return client, s.conn
}

// rawClient does a TLS handshake as some client may, and returns the
// connection and what becomes of the server.
func rawClient(t *testing.T, change func(*tls.Config)) (*tls.Conn, <-chan served) {
	t.Helper()
	a, b := loopback(t)
	result := serve(t, b, newKey(t), anyKey)
	cert, err := certificate(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(cert, func(PublicKey) error { return nil })
	cfg.VerifyConnection = nil
	change(cfg)
	return tls.Client(a, cfg), result
}
