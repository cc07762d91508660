package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// ecdsaCert is a certificate of a kind that is not ours.
var ecdsaCert, ecdsaKey = func() (cert, key []byte) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		panic(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}()

// lockedLog is a log that may be read while it is written.
type lockedLog struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

type testListener struct {
	*Listener
	key PrivateKey
	log *lockedLog
}

func listen(t *testing.T, limits Limits, allow func(PublicKey) bool) *testListener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listenOn(t, inner, limits, allow)
}

func listenOn(t *testing.T, inner net.Listener, limits Limits, allow func(PublicKey) bool) *testListener {
	t.Helper()
	key, log := newKey(t), &lockedLog{}
	l, err := NewListener(inner, key, allow, limits, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &testListener{l, key, log}
}

func (l *testListener) dial(t *testing.T) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// connect is a whole client, up to its Hello.
func (l *testListener) connect(t *testing.T) *Conn {
	t.Helper()
	c, err := Client(t.Context(), l.dial(t), newKey(t), l.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Send(testHello()); err != nil {
		t.Fatal(err)
	}
	return c
}

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// until waits for a condition on the counters.
func (l *testListener) until(t *testing.T, what string, cond func(ListenerCounters) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !cond(l.Counters()) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come: %+v\n%s", what, l.Counters(), l.log)
		}
		time.Sleep(time.Millisecond)
	}
}

// says waits until a text is in the log: what is counted is logged a moment later.
func (l *testListener) says(t *testing.T, text string) {
	t.Helper()
	l.until(t, text, func(ListenerCounters) bool { return strings.Contains(l.log.String(), text) })
}

func TestListenerAccepts(t *testing.T) {
	l := listen(t, Limits{}, anyKey)
	client := l.connect(t)
	conn, hello, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if hello.LinkName != "wlan0" {
		t.Errorf("hello = %+v", hello)
	}
	if err := conn.Send(testWelcome()); err != nil {
		t.Fatal(err)
	}
	if m, err := client.Receive(); err != nil || m.(Welcome).ClientID != 1 {
		t.Errorf("got %+v, %v", m, err)
	}
	l.until(t, "the count", func(c ListenerCounters) bool { return c.Accepted == 1 && c.Completed == 1 })
}

func TestListenerCountsAndLogsRefusals(t *testing.T) {
	l := listen(t, Limits{}, func(PublicKey) bool { return false })
	client := l.connect(t)
	if m, err := client.Receive(); err != nil || m.(Reject).Code != CodeUnknownKey {
		t.Errorf("got %+v, %v", m, err)
	}
	l.until(t, "unknown client", func(c ListenerCounters) bool { return c.UnknownClient == 1 })
	if _, err := Client(t.Context(), l.dial(t), newKey(t), newKey(t).Public()); err == nil {
		t.Error("connected to the wrong server")
	}
	l.until(t, "pinned other", func(c ListenerCounters) bool { return c.PinnedOther == 1 })
	if _, err := l.dial(t).Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	l.until(t, "failed", func(c ListenerCounters) bool { return c.Failed == 1 })
	l.says(t, "presented an unknown key ")
	l.says(t, "its server_key must be "+l.key.Public().String())
}

func TestListenerTimeout(t *testing.T) {
	l := listen(t, Limits{Timeout: 20 * time.Millisecond}, anyKey)
	nc := l.dial(t)
	l.until(t, "the time-out", func(c ListenerCounters) bool { return c.TimedOut == 1 })
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
	l.says(t, "no answer in time (20ms)")
}

// TestSlowClientsDoNotStarveOthers keeps the listener full of clients that
// send a byte now and then.
func TestSlowClientsDoNotStarveOthers(t *testing.T) {
	l := listen(t, Limits{HalfOpen: 8, PerSource: 8, Computing: 1}, anyKey)
	ctx, cancel := context.WithCancel(t.Context())
	var slow sync.WaitGroup
	defer slow.Wait()
	defer cancel()
	for range 8 {
		nc := l.dial(t)
		slow.Go(func() {
			for _, b := range []byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc} {
				if _, err := nc.Write([]byte{b}); err != nil {
					return
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(10 * time.Millisecond):
				}
			}
			<-ctx.Done()
		})
	}
	l.until(t, "eight slow ones", func(c ListenerCounters) bool { return c.Accepted == 8 })
	for range 3 {
		l.connect(t)
		conn, _, err := l.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if c := l.Counters(); c.EvictedSource == 0 {
		t.Errorf("nobody was evicted: %+v", c)
	}
}

func TestHalfOpenFlood(t *testing.T) {
	l := listen(t, Limits{HalfOpen: 16, PerSource: 4, Burst: 300, Rate: 1e-9}, anyKey)
	const flood = 250
	var open []net.Conn
	for range flood {
		open = append(open, l.dial(t))
	}
	l.until(t, "the flood", func(c ListenerCounters) bool { return c.Accepted == flood && c.EvictedSource == flood-4 })
	closed := 0
	for _, nc := range open[:flood-4] {
		if _, err := nc.Read(make([]byte, 1)); err != nil {
			closed++
		}
	}
	if closed != flood-4 {
		t.Errorf("%d of %d were closed", closed, flood-4)
	}
	// A good client still gets in, from the same address.
	l.connect(t)
	conn, _, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestConnectionRate(t *testing.T) {
	l := listen(t, Limits{Burst: 3, Rate: 1e-9}, anyKey)
	for range 5 {
		l.dial(t)
	}
	l.until(t, "the refusals", func(c ListenerCounters) bool { return c.Accepted == 5 && c.RefusedRate == 2 })
}

func TestReadyQueueIsBounded(t *testing.T) {
	l := listen(t, Limits{}, anyKey)
	for range readyQueue {
		l.connect(t)
	}
	l.until(t, "a full queue", func(c ListenerCounters) bool { return c.Completed == readyQueue })
	client := l.connect(t)
	if m, err := client.Receive(); err != nil || m.(Reject).Code != CodeBusy {
		t.Errorf("got %+v, %v", m, err)
	}
	l.until(t, "the busy one", func(c ListenerCounters) bool { return c.Busy == 1 })
}

// brokenListener fails a few times before it listens.
type brokenListener struct {
	net.Listener
	failures int
}

func (b *brokenListener) Accept() (net.Conn, error) {
	if b.failures > 0 {
		b.failures--
		return nil, errors.New("too many open files")
	}
	return b.Listener.Accept()
}

func TestAcceptErrorsPass(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := listenOn(t, &brokenListener{inner, 3}, Limits{}, anyKey)
	l.connect(t)
	conn, _, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if c := l.Counters(); c.AcceptErrors != 3 {
		t.Errorf("%+v", c)
	}
}

func TestListenerClose(t *testing.T) {
	l := listen(t, Limits{}, anyKey)
	half, done := l.dial(t), l.connect(t)
	l.until(t, "both", func(c ListenerCounters) bool { return c.Accepted == 2 && c.Completed == 1 })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := half.Read(make([]byte, 1)); err == nil {
		t.Error("a half-open connection is still open")
	}
	if _, err := done.Receive(); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client that nobody accepted: %v", err)
	}
	if _, _, err := l.Accept(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	open := listen(t, Limits{}, anyKey)
	if _, _, err := open.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept with a context that ended: %v", err)
	}
}
