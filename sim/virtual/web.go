package virtual

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// downloads fetches a file from a host as often as asked, one after another
// over a connection that is kept, with requests and answers of HTTP/1.1 (RFC
// 9112) as far as one file needs them.
type downloads struct {
	*Traffic
	address  netip.AddrPort
	content  content
	head     []byte // of every answer
	tap      *tap
	listener *socket
	serving  []*webServer
	socket   *socket // of the client, nil between connections
	began    time.Duration
	asked    bool // the request of the present download is out
	check    checker
	count    int // downloads begun
	meter    meter.Meter
	fct      *meter.Spread
	failed   int
	done     bool
	stopped  bool
	out      meter.Outcome
}

// headEnd ends the head of a request and of an answer.
const headEnd = "\r\n\r\n"

func newDownloads(t *Traffic) (generator, error) {
	if t.Size <= 0 {
		return nil, fmt.Errorf("size %d: must be above 0", t.Size)
	}
	id, address := t.service()
	g := &downloads{
		Traffic: t, address: address, fct: meter.NewSpread(),
		content: newContent(t.sim.seedOf(t.Name)),
		head: []byte("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" +
			"Content-Length: " + fmt.Sprint(t.Size) + headEnd),
	}
	var err error
	g.listener, err = t.host().listen(id, address, t.CC, g.accept)
	if err != nil {
		return nil, err
	}
	g.tap = newTap(t.sim.client, g.address.Port(), true)
	return g, nil
}

func (g *downloads) start() error {
	g.meter.Warm = g.warm()
	return g.begin()
}

// begin begins the next download.
func (g *downloads) begin() error {
	g.count++
	g.began, g.asked = g.now(), false
	g.meter.Wait(g.began)
	g.check = checker{head: g.head, content: g.content}
	if g.socket == nil {
		return g.connect()
	}
	g.work()
	return nil
}

func (g *downloads) connect() error {
	var s *socket
	s, err := g.dial(g.address, func() {
		if g.socket == s {
			g.work()
		}
	})
	g.socket = s
	return err
}

// work does the client's part as far as it goes now.
func (g *downloads) work() {
	if g.done || g.stopped {
		return
	}
	switch g.socket.state() {
	case tcp.StateSynSent, tcp.StateSynRecv:
		return
	}
	if !g.asked {
		request := fmt.Sprintf("GET /file-%d HTTP/1.1\r\nHost: %s\r\nUser-Agent: multilink-sim%s", g.count-1, g.address, headEnd)
		if _, err := g.socket.write(bytes.NewReader([]byte(request))); err != nil {
			g.broken(errors.New(err.String()))
			return
		}
		g.asked = true
	}
	if err := readAll(g.socket, &g.check, g.came); err != nil {
		g.broken(err)
		return
	}
	if g.check.offset == int64(len(g.head))+g.Size {
		g.fct.Add(g.now() - g.began)
		g.next()
	}
}

// came counts n more bytes of an answer, those of the file only.
func (g *downloads) came(n int) {
	file := min(int64(n), g.check.offset-int64(len(g.head)))
	if file > 0 {
		g.meter.Deliver(g.now(), int(file))
	}
}

// next goes on to the next download, if there is one.
func (g *downloads) next() {
	if g.count == max(g.Count, 1) {
		g.done = true
		g.socket.close()
		return
	}
	if err := g.begin(); err != nil {
		g.sim.fail(err)
	}
}

// broken ends a connection. The download counts as failed unless the
// connection could not even be made.
func (g *downloads) broken(err error) {
	g.socket.close()
	g.socket = nil
	if !g.asked {
		g.sim.after(meter.RedialPause, func() {
			if !g.stopped {
				if err := g.connect(); err != nil {
					g.sim.fail(err)
				}
			}
		})
		return
	}
	if g.check.err != nil {
		g.out.Fault("download %d: %v", g.count, g.check.err)
	}
	g.meter.Idle(g.now())
	g.failed++
	g.out.Note("download %d failed after %.1f s: %v", g.count, (g.now() - g.began).Seconds(), err)
	if g.count == max(g.Count, 1) {
		g.done = true
		return
	}
	if err := g.begin(); err != nil {
		g.sim.fail(err)
	}
}

func (g *downloads) finished() bool { return g.done }

func (g *downloads) stop() {
	if !g.done {
		g.meter.Idle(g.end())
		g.failed += max(g.Count, 1) - g.count + 1
		g.out.Note("download %d of %d was not complete when its time was up", g.count, max(g.Count, 1))
	}
	g.stopped = true
	g.listener.close()
	if g.socket != nil {
		g.socket.abort()
	}
	for _, w := range g.serving {
		w.socket.abort()
	}
}

func (g *downloads) outcome() meter.Outcome {
	end := g.end()
	if g.done {
		end = g.meter.Last()
	}
	retransmits := 0
	for _, w := range g.serving {
		retransmits += w.socket.retransmits()
	}
	g.out.SetHTTP(meter.Transfers{
		Delivery: g.delivered(end, &g.meter), Failed: g.failed, Completion: g.fct,
		Retransmits: retransmits, Spurious: g.tap.flows.Duplicates(), Seen: &g.tap.flows,
	})
	return g.out
}

// webServer is the host's side of one connection.
type webServer struct {
	socket  *socket
	request bytes.Buffer
	answer  []io.Reader // what is still to be sent
	head    []byte
	content content
	size    int64
}

func (g *downloads) accept(ep tcpip.Endpoint, queue *waiter.Queue) {
	w := &webServer{head: g.head, content: g.content, size: g.Size}
	w.socket = g.host().adopt(ep, queue, w.work)
	if err := w.socket.congestion(g.CC); err != nil {
		g.sim.fail(err)
		return
	}
	g.serving = append(g.serving, w)
	w.socket.wake()
}

// work takes requests and sends answers as far as it goes now.
func (w *webServer) work() {
	for {
		_, err := w.socket.read(&w.request)
		if err == nil {
			continue
		}
		if _, wait := err.(*tcpip.ErrWouldBlock); !wait {
			w.socket.close() // the client has gone
			return
		}
		break
	}
	for {
		_, rest, whole := bytes.Cut(w.request.Bytes(), []byte(headEnd))
		if !whole {
			break
		}
		w.request.Next(w.request.Len() - len(rest))
		w.answer = append(w.answer, bytes.NewReader(w.head))
		for offset := int64(0); offset < w.size; {
			part := w.content.from(offset)
			part = part[:min(int64(len(part)), w.size-offset)]
			w.answer = append(w.answer, bytes.NewReader(part))
			offset += int64(len(part))
		}
	}
	for len(w.answer) > 0 {
		part := w.answer[0].(*bytes.Reader)
		if _, err := w.socket.write(part); err != nil {
			return
		}
		if part.Len() == 0 {
			w.answer = w.answer[1:]
		}
	}
}
