package control

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/multilink-vpn/multilink/core/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMessagesBothWays(t *testing.T) {
	client, server := pair(t)
	for _, m := range testMessages() {
		for _, ends := range [][2]*Conn{{client, server}, {server, client}} {
			sent := make(chan error, 1)
			go func() { sent <- ends[0].Send(m) }()
			got, err := ends[1].Receive()
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Fatalf("got %+v, %v, want %+v", got, err, m)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
	}
	server.Close()
	if _, err := client.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after the close: %v", err)
	}
}

func TestExporterGivesLinkKeys(t *testing.T) {
	client, server := pair(t)
	binding := seal.Binding{Suite: seal.AES128GCM, Link: 1, ClientIndex: 2, ServerIndex: 3}
	c, err := seal.Derive(client.Export, binding)
	if err != nil {
		t.Fatal(err)
	}
	s, err := seal.Derive(server.Export, binding)
	if err != nil {
		t.Fatal(err)
	}
	if c != s {
		t.Error("the two ends derive different keys")
	}
	otherClient, _ := pair(t)
	if other, err := seal.Derive(otherClient.Export, binding); err != nil || other == c {
		t.Errorf("another connection derives the same keys, %v", err)
	}
}

func TestHandshakeIsPostQuantumAndFresh(t *testing.T) {
	client, _ := pair(t)
	cs := client.tls.ConnectionState()
	if cs.Version != tls.VersionTLS13 || cs.DidResume || cs.CurveID != tls.X25519MLKEM768 {
		t.Errorf("version %x, resumed %v, curve %v", cs.Version, cs.DidResume, cs.CurveID)
	}
}

// TestClockDoesNotMatter: keys are known whatever time it is at either end.
func TestClockDoesNotMatter(t *testing.T) {
	key := newKey(t)
	cert, err := certificate(key)
	if err != nil {
		t.Fatal(err)
	}
	accept := func(PublicKey) error { return nil }
	for _, years := range []int{-50, -1, 0, 1, 100} {
		for _, end := range []string{"client", "server"} {
			clock := func() time.Time { return time.Now().AddDate(years, 0, 0) }
			clientConfig, serverConfig := config(cert, accept), config(cert, accept)
			if end == "client" {
				clientConfig.Time = clock
			} else {
				serverConfig.Time = clock
			}
			c, s := loopback(t)
			done := make(chan error, 1)
			go func() { done <- tls.Server(s, serverConfig).Handshake() }()
			if err := errors.Join(tls.Client(c, clientConfig).Handshake(), <-done); err != nil {
				t.Errorf("the %s's clock is %d years off: %v", end, years, err)
			}
		}
	}
}

func TestServerOffersNoResumption(t *testing.T) {
	serverKey := newKey(t)
	cert, err := certificate(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	cache := tls.NewLRUClientSessionCache(4)
	for range 2 {
		a, b := loopback(t)
		result := serve(t, b, serverKey, anyKey)
		cfg := config(cert, func(PublicKey) error { return nil })
		cfg.ClientSessionCache, cfg.ServerName = cache, "server"
		conn := &Conn{tls: tls.Client(a, cfg)}
		if err := conn.Send(testHello()); err != nil {
			t.Fatal(err)
		}
		s := <-result
		if s.err != nil {
			t.Fatal(s.err)
		}
		// A ticket would come before this.
		if err := s.conn.Send(testWelcome()); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Receive(); err != nil {
			t.Fatal(err)
		}
		if conn.tls.ConnectionState().DidResume {
			t.Error("resumed")
		}
		if _, ok := cache.Get("server"); ok {
			t.Error("the server gave a ticket")
		}
		conn.Close()
		s.conn.Close()
	}
}

func TestWrongServerKey(t *testing.T) {
	serverKey, pinned := newKey(t), newKey(t).Public()
	a, b := loopback(t)
	result := serve(t, b, serverKey, anyKey)
	_, err := Client(t.Context(), a, newKey(t), pinned)
	want := "the server at " + a.RemoteAddr().String() + " presented key " + serverKey.Public().String() +
		", the configuration pins " + pinned.String() + " (server_key)"
	if err == nil || err.Error() != want {
		t.Errorf("client: got %v, want %s", err, want)
	}
	want = "client at " + a.LocalAddr().String() + " expects a server with another key: its server_key must be " + serverKey.Public().String()
	if s := <-result; s.err == nil || s.err.Error() != want {
		t.Errorf("server: got %v, want %s", s.err, want)
	}
}

func TestUnpinnedServer(t *testing.T) {
	a, b := loopback(t)
	result := serve(t, b, newKey(t), anyKey)
	if _, err := Client(t.Context(), a, newKey(t), PublicKey{}); err == nil {
		t.Error("a client without a pinned key connected")
	}
	<-result
}

func TestUnknownClientKey(t *testing.T) {
	serverKey, clientKey := newKey(t), newKey(t)
	a, b := loopback(t)
	result := serve(t, b, serverKey, func(PublicKey) bool { return false })
	client, err := Client(t.Context(), a, clientKey, serverKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Open(t.Context(), testHello())
	var rejected *RejectError
	if !errors.As(err, &rejected) || rejected.Code != CodeUnknownKey {
		t.Errorf("client: got %v", err)
	}
	want := "the server does not know this client's key " + clientKey.Public().String()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("client: got %v, want %s", err, want)
	}
	want = "client at " + a.LocalAddr().String() + " presented an unknown key " + clientKey.Public().String() +
		": add it to [[clients]] as public_key if it is to connect"
	if s := <-result; s.err == nil || s.err.Error() != want {
		t.Errorf("server: got %v, want %s", s.err, want)
	}
}

func TestOpen(t *testing.T) {
	tests := []struct {
		name   string
		answer func(*Conn) error
		want   string // part of the error; "": none
	}{
		{"welcome", func(c *Conn) error { return c.Send(testWelcome()) }, ""},
		{"reject", func(c *Conn) error {
			return c.Send(Reject{Code: CodePoolExhausted, Reason: "all 253 addresses are in use"})
		},
			"rejected this link: all 253 addresses are in use (pool-exhausted)"},
		{"nonsense", func(c *Conn) error { return c.Send(Ping{}) }, "answered a hello with control.Ping"},
		{"close", func(c *Conn) error { return c.Close() }, "closed the connection before it answered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			serverKey := newKey(t)
			a, b := loopback(t)
			result := serve(t, b, serverKey, anyKey)
			client, err := Client(t.Context(), a, newKey(t), serverKey.Public())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			answered := make(chan served, 1)
			go func() {
				s := <-result
				if s.err == nil {
					s.err = tt.answer(s.conn)
				}
				answered <- s
			}()
			w, err := client.Open(t.Context(), testHello())
			if tt.want == "" && (err != nil || !reflect.DeepEqual(w, testWelcome())) {
				t.Errorf("got %+v, %v", w, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			s := <-answered
			if s.err != nil {
				t.Fatal(s.err)
			}
			s.conn.Close()
		})
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	client, _ := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Open(ctx, testHello()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	a, _ := loopback(t) // nobody answers
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Client(ctx, a, newKey(t), newKey(t).Public()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestUnknownTypesAreSkipped(t *testing.T) {
	client, server := pair(t)
	go func() {
		_, _ = client.tls.Write([]byte{99, 0, 0, 0, 1, 'x'})
		_ = client.Send(Ping{ID: 5})
	}()
	if m, err := server.Receive(); err != nil || m != (Ping{ID: 5}) {
		t.Errorf("got %v, %v", m, err)
	}
	if n := server.Skipped(); n != 1 {
		t.Errorf("skipped %d", n)
	}
}

func TestMalformedMessageEndsReceive(t *testing.T) {
	client, server := pair(t)
	go func() { _, _ = client.tls.Write([]byte{4, 0, 1, 0, 1}) }()
	if _, err := server.Receive(); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// TestTimeoutIsTold: whoever hears first that the time is over, the error says so.
func TestTimeoutIsTold(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for range 1000 {
		err := within(t.Context(), a, time.Microsecond, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, ErrTimeout) {
			t.Fatal(err)
		}
	}
}

func TestIdleTimeout(t *testing.T) {
	client, server := pair(t)
	server.SetIdleTimeout(time.Millisecond)
	if _, err := server.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	client.Close()
}

func TestCloseEndsReceive(t *testing.T) {
	client, _ := pair(t)
	result := make(chan error, 1)
	go func() {
		_, err := client.Receive()
		result <- err
	}()
	client.Close()
	if err := <-result; err == nil {
		t.Error("Receive ended without an error")
	}
}
