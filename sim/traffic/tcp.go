package traffic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// chunk is how much a TCP application reads or writes at once.
const chunk = 64 << 10

// runTCP runs bulk transfers: each direction has connections of its own,
// which the client opens.
func runTCP(ctx context.Context, j Job) (meter.Outcome, error) {
	return runDirections(ctx, j, newBulk)
}

// bulk is one direction of a bulk transfer.
type bulk struct {
	Job
	direction string
	listener  *net.TCPListener
	host      netip.AddrPort

	mu     sync.Mutex
	meters []*meter.Meter
	fct    *meter.Spread // nil without a size
	out    meter.Outcome
	failed int
	counts senderCounts
	ended  time.Duration // when the last transfer of a size was complete
}

func newBulk(ctx context.Context, j Job, direction string) (*bulk, error) {
	listener, err := j.Host.listenTCP(ctx, 0, j.CC)
	if err != nil {
		return nil, fmt.Errorf("the host's socket: %w", err)
	}
	host := listener.Addr().(*net.TCPAddr).AddrPort()
	b := &bulk{Job: j, direction: direction, listener: listener, host: netip.AddrPortFrom(j.Host.Addr, host.Port())}
	if j.Size > 0 {
		b.fct = meter.NewSpread()
	}
	return b, nil
}

func (b *bulk) close() { b.listener.Close() }

// down says that the host sends.
func (b *bulk) down() bool { return b.direction == "down" }

func (b *bulk) run(ctx context.Context) meter.Outcome {
	receiver := b.Host.NS
	if b.down() {
		receiver = b.Client.NS
	}
	seen, err := startCapture(receiver, b.host, b.down())
	if err != nil {
		b.out.Note("%v", err)
	}
	ctx, cancel := context.WithDeadline(ctx, b.deadline())
	defer cancel()
	var accepting, streams sync.WaitGroup
	accepting.Go(func() { b.accept(ctx) })
	for range max(b.Streams, 1) {
		streams.Go(func() { b.dial(ctx) })
	}
	streams.Wait()
	b.listener.Close()
	accepting.Wait()
	found := b.found()
	if seen != nil {
		found.Seen = seen.stop()
	}
	b.out.SetTCP(found, b.counts.cc)
	return b.out
}

// dial opens one connection as the client and plays the client's part.
func (b *bulk) dial(ctx context.Context) {
	conn, err := b.Client.keepDialing(ctx, b.host, b.CC)
	if err != nil {
		b.fail("no connection to %s: %v", b.host, err)
		return
	}
	if b.down() {
		b.receive(ctx, conn)
	} else {
		b.send(ctx, conn)
	}
}

// accept plays the host's part on every connection that comes, and waits for
// their ends.
func (b *bulk) accept(ctx context.Context) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		conn, err := b.listener.AcceptTCP()
		if err != nil {
			return
		}
		if b.down() {
			streams.Go(func() { b.send(ctx, conn) })
		} else {
			streams.Go(func() { b.receive(ctx, conn) })
		}
	}
}

func (b *bulk) send(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	source := newContent(b.Seed, b.direction)
	buf := make([]byte, chunk)
	var err error
	for sent := int64(0); err == nil && (b.Size == 0 || sent < b.Size); {
		part := buf
		if b.Size > 0 {
			part = buf[:min(int64(len(buf)), b.Size-sent)]
		}
		_, _ = source.Read(part)
		var n int
		n, err = conn.Write(part)
		sent += int64(n)
	}
	switch {
	case err == nil: // all is sent: wait until the receiver has it
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	case errors.Is(err, os.ErrDeadlineExceeded): // what is in flight is of no use any more
		_ = conn.SetLinger(0)
	}
	b.readInfo(conn)
}

// readInfo takes the sender's counters from its kernel.
func (b *bulk) readInfo(conn *net.TCPConn) {
	counts := readCounts(conn)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts.add(counts)
}

func (b *bulk) receive(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	m := &meter.Meter{Warm: b.Start + b.Warmup}
	m.Wait(b.now())
	expected := newContent(b.Seed, b.direction)
	err := deliver(b.Job, conn, m, expected)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.meters = append(b.meters, m)
	if b.Size > 0 && m.Bytes() == b.Size {
		b.fct.Add(m.Last() - b.Start)
		b.ended = max(b.ended, m.Last())
		return
	}
	// Whatever ended it, to the application nothing more came.
	m.Idle(b.end())
	var changed contentError
	switch {
	case errors.As(err, &changed):
		b.out.Fault("%v", err)
	case b.Size == 0 && ctx.Err() != nil: // the end, whichever side came to it first
	default:
		b.failed++
		b.out.Note("a connection ended at %.1f s after %d bytes: %v", b.now().Seconds(), m.Bytes(), err)
	}
}

// contentError says that content changed on its way.
type contentError struct{ error }

// deliver reads to the end, into the meter, and compares with what was sent.
// It returns the error that ended it, io.EOF too.
func deliver(j Job, from io.Reader, m *meter.Meter, expected *content) error {
	buf := make([]byte, 4*chunk)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			m.Deliver(j.now(), n)
			if err := expected.check(buf[:n]); err != nil {
				return contentError{err}
			}
		}
		if err != nil {
			return err
		}
	}
}

func (b *bulk) fail(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed++
	b.out.Note(format, args...)
}

// found is what both ends know of the connections.
func (b *bulk) found() meter.Transfers {
	end := b.end()
	if b.Size > 0 && b.failed == 0 {
		end = b.ended
	}
	if len(b.meters) < max(b.Streams, 1) { // a stream that never began waited all the time
		idle := &meter.Meter{}
		idle.Wait(b.Start)
		idle.Idle(end)
		b.meters = append(b.meters, idle)
	}
	return meter.Transfers{
		Delivery: b.delivered(end, b.meters...), Failed: b.failed, Completion: b.fct,
		Retransmits: b.counts.retransmits, Spurious: b.counts.spuriousShare(),
	}
}
