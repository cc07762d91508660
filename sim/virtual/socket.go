package virtual

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// socket is an endpoint of a stack, used without blocking: ready is called in
// the simulation's loop when something may have changed.
type socket struct {
	machine  *machine
	endpoint tcpip.Endpoint
	queue    *waiter.Queue
	entry    waiter.Entry
	number   int
	ready    func()
	listed   bool // in the simulation's list of ready sockets
	closed   bool
}

// newSocket makes a socket bound to an interface, address and port (0: any).
func (m *machine) newSocket(protocol tcpip.TransportProtocolNumber, id tcpip.NICID, local netip.AddrPort, ready func()) (*socket, error) {
	queue := &waiter.Queue{}
	ep, err := m.stack.NewEndpoint(protocol, protocolOf(local.Addr()), queue)
	if err != nil {
		return nil, fmt.Errorf("socket: %s", err)
	}
	s := m.adopt(ep, queue, ready)
	if err := ep.SocketOptions().SetBindToDevice(int32(id)); err != nil {
		s.close()
		return nil, fmt.Errorf("binding to interface %d: %s", id, err)
	}
	address := fullAddress(local)
	address.NIC = id
	if err := ep.Bind(address); err != nil {
		s.close()
		return nil, fmt.Errorf("binding to %s: %s", local, err)
	}
	return s, nil
}

// adopt makes a socket of an endpoint.
func (m *machine) adopt(ep tcpip.Endpoint, queue *waiter.Queue, ready func()) *socket {
	m.sim.sockets++
	s := &socket{machine: m, endpoint: ep, queue: queue, number: m.sim.sockets}
	s.ready = func() {
		if !s.closed {
			ready()
		}
	}
	s.entry = waiter.NewFunctionEntry(waiter.ReadableEvents|waiter.WritableEvents|waiter.EventErr|waiter.EventHUp,
		func(waiter.EventMask) { s.wake() })
	queue.EventRegister(&s.entry)
	return s
}

// wake puts the socket on the list of those that are to be looked at. It is
// called by gVisor's goroutines.
func (s *socket) wake() {
	r := &s.machine.sim.ready
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.listed {
		s.listed = true
		r.sockets = append(r.sockets, s)
	}
}

// listen makes a TCP socket take connections, each handed to accept.
func (m *machine) listen(id tcpip.NICID, local netip.AddrPort, cc string, accept func(tcpip.Endpoint, *waiter.Queue)) (*socket, error) {
	var s *socket
	s, err := m.newSocket(tcp.ProtocolNumber, id, local, func() {
		for {
			ep, queue, err := s.endpoint.Accept(nil)
			if err != nil {
				return
			}
			accept(ep, queue)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := s.congestion(cc); err != nil {
		return nil, err
	}
	if err := s.endpoint.Listen(backlog); err != nil {
		return nil, fmt.Errorf("listening on %s: %s", local, err)
	}
	return s, nil
}

// backlog is how many connections may wait to be accepted.
const backlog = 1024

// congestion sets a TCP socket's congestion control; "" is the default.
func (s *socket) congestion(cc string) error {
	option := tcpip.CongestionControlOption(cmp.Or(cc, defaultCC))
	if err := s.endpoint.SetSockOpt(&option); err != nil {
		return fmt.Errorf("congestion control %s: %s", cc, err)
	}
	return nil
}

// state is that of a TCP socket.
func (s *socket) state() tcp.EndpointState { return tcp.EndpointState(s.endpoint.State()) }

// retransmits is how many segments a TCP socket has sent again.
func (s *socket) retransmits() int {
	return int(s.endpoint.Stats().(*tcp.Stats).SendErrors.Retransmits.Value())
}

// connect begins to connect a TCP socket.
func (s *socket) connect(to netip.AddrPort) error {
	defer s.machine.sim.yield()
	switch err := s.endpoint.Connect(fullAddress(to)).(type) {
	case nil, *tcpip.ErrConnectStarted:
		return nil
	default:
		return fmt.Errorf("connecting to %s: %s", to, err)
	}
}

// write gives a TCP socket what it takes now.
func (s *socket) write(p tcpip.Payloader) (int64, tcpip.Error) {
	defer s.machine.sim.yield()
	return s.endpoint.Write(p, tcpip.WriteOptions{})
}

// read hands on what a TCP socket has.
func (s *socket) read(to io.Writer) (int, tcpip.Error) {
	defer s.machine.sim.yield()
	result, err := s.endpoint.Read(to, tcpip.ReadOptions{})
	return result.Count, err
}

// shutdown says that no more will be written to a TCP socket.
func (s *socket) shutdown() {
	defer s.machine.sim.yield()
	_ = s.endpoint.Shutdown(tcpip.ShutdownWrite) // the connection may be gone already
}

// sendTo sends one datagram.
func (s *socket) sendTo(to netip.AddrPort, data []byte) error {
	defer s.machine.sim.yield()
	address := fullAddress(to)
	if _, err := s.endpoint.Write(bytes.NewReader(data), tcpip.WriteOptions{To: &address}); err != nil {
		return fmt.Errorf("sending to %s: %s", to, err)
	}
	return nil
}

// receive reads one datagram. It is false when there is none.
func (s *socket) receive(buf *bytes.Buffer) (from netip.AddrPort, ok bool) {
	buf.Reset()
	result, err := s.endpoint.Read(buf, tcpip.ReadOptions{NeedRemoteAddr: true})
	if err != nil {
		return netip.AddrPort{}, false
	}
	a, _ := netip.AddrFromSlice(result.RemoteAddr.Addr.AsSlice())
	return netip.AddrPortFrom(a, result.RemoteAddr.Port), true
}

// close gives the socket up; of a TCP connection the other side hears.
func (s *socket) close() {
	if !s.closed {
		s.closed = true
		s.queue.EventUnregister(&s.entry)
		s.endpoint.Close()
		s.machine.sim.yield()
	}
}

// abort resets a TCP connection.
func (s *socket) abort() {
	if !s.closed {
		s.closed = true
		s.queue.EventUnregister(&s.entry)
		s.endpoint.Abort()
		s.machine.sim.yield()
	}
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{Addr: addressOf(a.Addr()), Port: a.Port()}
}
