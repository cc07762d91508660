package virtual

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// bulk is one direction of a bulk transfer over TCP. The client opens the
// connections.
type bulk struct {
	*Traffic
	direction Direction
	address   netip.AddrPort
	content   content
	tap       *tap
	listener  *socket
	senders   []*sender
	receivers []*receiver
	fct       *meter.Spread // nil without a size
	failed    int
	ended     time.Duration // when the last transfer of a size was complete
	stopped   bool
	out       meter.Outcome
}

func newBulk(t *Traffic, d Direction) (generator, error) {
	id, address := t.service()
	b := &bulk{
		Traffic: t, direction: d, address: address,
		content: newContent(t.sim.seedOf(t.Name, d.String())),
	}
	if t.Size > 0 {
		b.fct = meter.NewSpread()
	}
	var err error
	b.listener, err = t.host().listen(id, address, t.CC, b.accept)
	if err != nil {
		return nil, err
	}
	at := t.host()
	if d == Down {
		at = t.sim.client
	}
	b.tap = newTap(at, b.address.Port(), d == Down)
	return b, nil
}

func (b *bulk) start() error {
	for range max(b.Streams, 1) {
		if err := b.dialOne(); err != nil {
			return err
		}
	}
	return nil
}

// dialOne opens one connection as the client, again until it succeeds.
func (b *bulk) dialOne() error {
	var s *socket
	var work func()
	s, err := b.dial(b.address, func() {
		if work != nil {
			work()
			return
		}
		switch s.state() {
		case tcp.StateSynSent, tcp.StateSynRecv:
		case tcp.StateError, tcp.StateClose:
			s.close()
			b.sim.after(meter.RedialPause, func() {
				if !b.stopped {
					if err := b.dialOne(); err != nil {
						b.sim.fail(err)
					}
				}
			})
		default:
			work = b.work(s, b.direction == Up)
			work()
		}
	})
	return err
}

// accept plays the host's part on a connection.
func (b *bulk) accept(ep tcpip.Endpoint, queue *waiter.Queue) {
	var work func()
	s := b.host().adopt(ep, queue, func() { work() })
	if err := s.congestion(b.CC); err != nil {
		b.sim.fail(err)
		return
	}
	work = b.work(s, b.direction == Down)
	s.wake()
}

// work begins to send or to receive on a connection, and returns what is to be
// done whenever something has changed.
func (b *bulk) work(s *socket, sends bool) func() {
	if sends {
		w := &sender{socket: s, content: b.content, size: b.Size}
		b.senders = append(b.senders, w)
		return w.work
	}
	w := &receiver{bulk: b, socket: s, check: checker{content: b.content}}
	w.meter.Warm = b.warm()
	w.meter.Wait(b.now())
	b.receivers = append(b.receivers, w)
	return w.work
}

func (b *bulk) finished() bool {
	if b.Size == 0 || len(b.receivers) < max(b.Streams, 1) {
		return false
	}
	return !slices.ContainsFunc(b.receivers, func(w *receiver) bool { return !w.done })
}

func (b *bulk) stop() {
	b.stopped = true
	b.listener.close()
	for _, w := range b.receivers {
		if !w.done {
			w.meter.Idle(b.end())
			w.done = true
			if b.Size > 0 {
				b.failed++
				b.out.Note("a transfer of %d bytes had %d of them when its time was up", b.Size, w.meter.Bytes())
			}
		}
		w.socket.abort()
	}
	for _, w := range b.senders {
		w.socket.abort()
	}
}

func (b *bulk) outcome() meter.Outcome {
	end := b.end()
	if b.Size > 0 && b.failed == 0 && len(b.receivers) == max(b.Streams, 1) {
		end = b.ended
	}
	var meters []*meter.Meter
	for _, w := range b.receivers {
		meters = append(meters, &w.meter)
	}
	if missing := max(b.Streams, 1) - len(b.receivers); missing > 0 { // they waited all the time
		idle := &meter.Meter{}
		idle.Wait(b.Start)
		idle.Idle(end)
		meters = append(meters, idle)
		b.failed += missing
		b.out.Note("%d of %d connections could not be made", missing, max(b.Streams, 1))
	}
	retransmits := 0
	for _, w := range b.senders {
		retransmits += w.socket.retransmits()
	}
	b.out.SetTCP(meter.Transfers{
		Delivery: b.delivered(end, meters...), Failed: b.failed, Completion: b.fct,
		Retransmits: retransmits, Spurious: b.tap.flows.Duplicates(), Seen: &b.tap.flows,
	}, cmp.Or(b.CC, defaultCC))
	return b.out
}

// sender sends content on a connection, up to a size (0: without end).
type sender struct {
	socket  *socket
	content content
	size    int64
	sent    int64
	shut    bool
}

func (w *sender) work() {
	for w.size == 0 || w.sent < w.size {
		part := w.content.from(w.sent)
		if w.size > 0 {
			part = part[:min(int64(len(part)), w.size-w.sent)]
		}
		n, err := w.socket.write(bytes.NewReader(part))
		w.sent += n
		if err != nil {
			return
		}
	}
	if !w.shut {
		w.shut = true
		w.socket.shutdown()
	}
}

// receiver reads a connection to its end.
type receiver struct {
	bulk   *bulk
	socket *socket
	meter  meter.Meter
	check  checker
	done   bool
}

func (w *receiver) work() {
	if w.done {
		return
	}
	err := readAll(w.socket, &w.check, func(n int) { w.meter.Deliver(w.bulk.now(), n) })
	if err == nil {
		return
	}
	w.done = true
	b := w.bulk
	switch {
	case w.check.err != nil:
		b.out.Fault("%v", w.check.err)
	case b.Size > 0 && w.meter.Bytes() == b.Size && errors.Is(err, io.EOF):
		b.fct.Add(w.meter.Last() - b.Start)
		b.ended = max(b.ended, w.meter.Last())
	default:
		w.meter.Idle(b.now())
		b.failed++
		b.out.Note("a connection ended at %.1f s after %d bytes: %v", b.now().Seconds(), w.meter.Bytes(), err)
	}
	w.socket.close()
}

// readAll reads what there is into a checker and tells how much came each
// time. It returns an error when nothing more will come, io.EOF at the end of
// the stream.
func readAll(s *socket, to *checker, came func(n int)) error {
	for {
		n, err := s.read(to)
		if n > 0 {
			came(n)
		}
		if to.err != nil {
			return to.err
		}
		switch err.(type) {
		case nil:
		case *tcpip.ErrWouldBlock:
			return nil
		case *tcpip.ErrClosedForReceive:
			return io.EOF
		default:
			return errors.New(err.String())
		}
	}
}
