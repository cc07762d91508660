package traffic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// hashHeader carries the SHA-256 of the file, in hexadecimal.
const hashHeader = "X-Content-Sha256"

// fileServer is the HTTP server of a host. It hands out one file.
type fileServer struct {
	server *http.Server
	addr   netip.AddrPort
	done   chan struct{}

	mu     sync.Mutex
	counts senderCounts // of connections that have ended
}

// countingListener hands out connections that tell the server their counters
// when they are closed.
type countingListener struct {
	*net.TCPListener
	server *fileServer
}

type countingConn struct {
	*net.TCPConn
	server *fileServer
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return countingConn{conn, l.server}, nil
}

func (c countingConn) Close() error {
	counts := readCounts(c.TCPConn)
	c.server.mu.Lock()
	c.server.counts.add(counts)
	c.server.mu.Unlock()
	return c.TCPConn.Close()
}

// startFileServer serves the file of a seed and size on an end's port (0: a
// free one) under every path.
func startFileServer(ctx context.Context, at End, port uint16, seed uint64, size int64, cc string) (*fileServer, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, file(seed, size)); err != nil {
		return nil, err
	}
	digest := hex.EncodeToString(hash.Sum(nil))
	listener, err := at.listenTCP(ctx, port, cc)
	if err != nil {
		return nil, fmt.Errorf("the host's socket: %w", err)
	}
	s := &fileServer{done: make(chan struct{}),
		addr: netip.AddrPortFrom(at.Addr, uint16(listener.Addr().(*net.TCPAddr).Port))}
	s.server = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
			w.Header().Set(hashHeader, digest)
			_, _ = io.Copy(w, file(seed, size)) // a client that leaves is its own business
		}),
	}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(countingListener{listener, s}) // ends with stop
	}()
	return s, nil
}

// stop ends the server and its connections; again, it does nothing.
func (s *fileServer) stop() {
	s.server.Close()
	<-s.done
}

// runHTTP downloads a file from the host as often as asked, one after another
// over a connection that is kept.
func runHTTP(ctx context.Context, j Job) (meter.Outcome, error) {
	if j.Size <= 0 {
		return meter.Outcome{}, fmt.Errorf("size %d: must be above 0", j.Size)
	}
	server, err := startFileServer(ctx, j.Host, 0, j.Seed, j.Size, j.CC)
	if err != nil {
		return meter.Outcome{}, err
	}
	defer server.stop()
	if err := j.waitStart(ctx); err != nil {
		return meter.Outcome{}, err
	}
	d := &downloads{Job: j, fct: meter.NewSpread(), meter: meter.Meter{Warm: j.Start + j.Warmup}}
	seen, err := startCapture(j.Client.NS, server.addr, true)
	if err != nil {
		d.out.Note("%v", err)
	}
	d.run(ctx, server.addr)
	server.stop()
	found := d.found()
	server.mu.Lock()
	found.Retransmits, found.Spurious = server.counts.retransmits, server.counts.spuriousShare()
	server.mu.Unlock()
	if seen != nil {
		found.Seen = seen.stop()
	}
	d.out.SetHTTP(found)
	return d.out, nil
}

// downloads is the client's side of an http traffic.
type downloads struct {
	Job
	meter  meter.Meter
	fct    *meter.Spread
	failed int
	done   bool
	out    meter.Outcome
}

func (d *downloads) run(ctx context.Context, server netip.AddrPort) {
	ctx, cancel := context.WithDeadline(ctx, d.deadline())
	defer cancel()
	transport := &http.Transport{
		DisableCompression: true,
		// Dialled under this function's context: the transport's outlives a
		// request that gave up.
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return d.Client.keepDialing(ctx, server, d.CC)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for n := 0; n < max(d.Count, 1); n++ {
		began := d.now()
		d.meter.Wait(began)
		err := d.get(ctx, client, fmt.Sprintf("http://%s/file-%d", server, n))
		if err == nil {
			d.fct.Add(d.now() - began)
			continue
		}
		d.meter.Idle(d.now())
		d.failed++
		d.out.Note("download %d failed after %.1f s: %v", n+1, (d.now() - began).Seconds(), err)
		if ctx.Err() != nil {
			d.failed += max(d.Count, 1) - n - 1
			return
		}
	}
	d.done = true
}

// get downloads the file once and checks its hash.
func (d *downloads) get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	hash := sha256.New()
	buf := make([]byte, 4*chunk)
	for {
		n, err := response.Body.Read(buf)
		if n > 0 {
			d.meter.Deliver(d.now(), n)
			hash.Write(buf[:n])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if got, want := hex.EncodeToString(hash.Sum(nil)), response.Header.Get(hashHeader); got != want {
		d.out.Fault("%s: SHA-256 %s, the server's file has %s", url, got, want)
		return errors.New("content differs from what was sent")
	}
	return nil
}

// found is what the client knows of its downloads.
func (d *downloads) found() meter.Transfers {
	end := d.end()
	if d.done {
		end = d.meter.Last()
	}
	return meter.Transfers{Delivery: d.delivered(end, &d.meter), Failed: d.failed, Completion: d.fct}
}
