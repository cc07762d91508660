package control

import (
	"bytes"
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// connected returns the two ends of a control connection.
func connected(t *testing.T) (client, server *Conn) {
	t.Helper()
	a, b := net.Pipe()
	return connect(t, a, b)
}

// connect makes a control connection over two ends.
func connect(t *testing.T, a, b net.Conn) (client, server *Conn) {
	t.Helper()
	serverKey, clientKey := newKey(t), newKey(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		server, _, err = Server(ctx, b, serverKey, func(PublicKey) bool { return true })
		if err == nil {
			err = server.Send(testWelcome())
		}
		done <- err
	}()
	client, err := Client(ctx, a, clientKey, serverKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Open(ctx, testHello()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.tls.NetConn().Close(); _ = server.tls.NetConn().Close() })
	return client, server
}

// waitWritten waits until an end has written the datagrams that it took.
func waitWritten(c *Conn) error {
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		g := &c.datagrams
		g.mu.Lock()
		writing := g.writing
		g.mu.Unlock()
		switch {
		case !writing:
			return nil
		case time.Now().After(limit):
			return errors.New("datagrams are not written")
		}
	}
}

// TestDatagrams: datagrams arrive whole and in order, among messages.
func TestDatagrams(t *testing.T) {
	client, server := connected(t)
	var got [][]byte
	server.OnDatagram(func(d []byte) { got = append(got, bytes.Clone(d)) })
	data := make([]byte, 3500)
	for i := range data {
		data[i] = byte(i / 100)
	}
	if n := client.WriteDatagrams(data, 1400); n != 0 {
		t.Fatalf("%d dropped", n)
	}
	sent := make(chan error, 1)
	go func() { // when the datagrams have left
		err := waitWritten(client)
		if err == nil {
			err = client.Send(Ping{ID: 7})
		}
		sent <- err
	}()
	server.SetIdleTimeout(patience)
	m, err := server.Receive()
	if err != nil || m != (Ping{ID: 7}) {
		t.Fatalf("%v, %v", m, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 || len(got[2]) != 700 || !bytes.Equal(bytes.Join(got, nil), data) {
		t.Errorf("%d datagrams came", len(got))
	}
}

// TestDatagramsAreBounded: a connection that does not move takes so many and no
// more.
func TestDatagramsAreBounded(t *testing.T) {
	client, _ := connected(t) // nobody reads
	const size = 1000
	const n = 4 * maxQueued / size
	dropped := client.WriteDatagrams(make([]byte, n*size), size)
	// What is being written has left the queue.
	if room := 2 * maxQueued / size; dropped < n-room || dropped == 0 {
		t.Errorf("%d of %d dropped", dropped, n)
	}
	g := &client.datagrams
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) > maxQueued {
		t.Errorf("%d bytes wait", len(g.queue))
	}
}

// TestCarried: what a connection carries counts with its headers; a closed one
// tells nothing.
func TestCarried(t *testing.T) {
	a, b := loopback(t)
	client, server := connect(t, a, b)
	before := client.Carried()
	if before == 0 {
		t.Error("a handshake carries nothing")
	}
	const size = 20_000
	received := make(chan error, 1)
	server.OnDatagram(func([]byte) {})
	go func() {
		_, err := server.Receive()
		received <- err
	}()
	client.WriteDatagrams(make([]byte, size), 1000)
	if err := waitWritten(client); err != nil {
		t.Fatal(err)
	}
	if err := client.Send(Ping{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	if n := client.Carried() - before; n < size || n > 2*size {
		t.Errorf("%d bytes for datagrams of %d", n, size)
	}
	_ = client.tls.NetConn().Close()
	if n := client.Carried(); n != 0 {
		t.Errorf("%d bytes of a closed connection", n)
	}
}
