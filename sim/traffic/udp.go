package traffic

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// A datagram of the udp traffic: what it is (1 byte), 7 bytes of nothing, its
// number (8), the wall time it was sent at in ns (8), nothing up to its size.
const (
	udpHeader = 24
	udpHello  = 1 // client to host: where to send; its number means nothing
	udpData   = 2
)

// helloEvery is how often the client says where it is, so that the host finds
// it behind NATs that forget.
const helloEvery = 500 * time.Millisecond

// runUDP sends datagrams at a constant rate.
func runUDP(ctx context.Context, j Job) (meter.Outcome, error) {
	return runDirections(ctx, j, newStream)
}

// stream is one direction of a constant flow of datagrams.
type stream struct {
	Job
	direction    string
	client, host *net.UDPConn
	address      netip.AddrPort                 // of the host
	peer         atomic.Pointer[netip.AddrPort] // of the client as the host sees it

	sent    int
	refused int          // datagrams the sender's kernel would not take
	arrived atomic.Int64 // datagrams, each once
	meter   meter.Meter
	order   meter.Order
	delay   *meter.Spread
}

func newStream(ctx context.Context, j Job, direction string) (*stream, error) {
	if j.Packet < udpHeader || j.Rate <= 0 {
		return nil, fmt.Errorf("packet %d and rate %g: a packet has at least %d bytes and the rate is above 0",
			j.Packet, j.Rate, udpHeader)
	}
	host, err := j.Host.listenUDP(ctx, j.Host.Addr, 0)
	if err != nil {
		return nil, fmt.Errorf("the host's socket: %w", err)
	}
	s := &stream{Job: j, direction: direction, host: host, delay: meter.NewSpread()}
	s.address = netip.AddrPortFrom(j.Host.Addr, host.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	err = j.keepOpening(ctx, func() (err error) {
		s.client, err = j.Client.listenUDP(ctx, wildcard(j.Host.Addr), 0)
		return err
	})
	if err != nil {
		host.Close()
		return nil, fmt.Errorf("the client's socket: %w", err)
	}
	return s, nil
}

func (s *stream) close() {
	s.client.Close()
	s.host.Close()
}

func (s *stream) run(ctx context.Context) meter.Outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	receiver, sender, to := s.host, s.client, func() *netip.AddrPort { return &s.address }
	if s.direction == "down" {
		receiver, sender, to = s.client, s.host, s.peer.Load
	}
	s.meter.Warm = s.Start + s.Warmup
	s.meter.Wait(s.Start)
	var listening, greeting sync.WaitGroup
	listening.Go(func() { s.receive(receiver) })
	if s.direction == "down" {
		listening.Go(s.learn)
		greeting.Go(func() { s.greet(ctx) })
	}
	s.send(ctx, sender, to)
	s.waitForLast(ctx)
	cancel()
	greeting.Wait()
	s.close()
	listening.Wait()
	return s.outcome()
}

// waitForLast gives the last datagrams their time to arrive.
func (s *stream) waitForLast(ctx context.Context) {
	limit := time.Now().Add(meter.Lateness)
	for s.arrived.Load() < int64(s.sent) && time.Now().Before(limit) {
		if SleepUntil(ctx, time.Now().Add(peerPoll)) != nil {
			return
		}
	}
}

// greet tells the host where the client is, as long as the traffic lasts.
func (s *stream) greet(ctx context.Context) {
	hello := make([]byte, udpHeader)
	hello[0] = udpHello
	for {
		_, _ = s.client.WriteToUDPAddrPort(hello, s.address)
		pause := helloEvery
		if s.peer.Load() == nil {
			pause = meter.RedialPause
		}
		if SleepUntil(ctx, time.Now().Add(pause)) != nil {
			return
		}
	}
}

// learn takes the client's hellos at the host.
func (s *stream) learn() {
	buf := make([]byte, 64)
	for {
		n, from, err := s.host.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if n >= udpHeader && buf[0] == udpHello {
			s.peer.Store(&from)
		}
	}
}

// send sends the datagrams, each at its time.
func (s *stream) send(ctx context.Context, socket *net.UDPConn, to func() *netip.AddrPort) {
	buf := make([]byte, s.Packet)
	buf[0] = udpData
	interval := float64(s.Packet) * 8 / s.Rate * float64(time.Second)
	known := func() bool { return to() != nil }
	s.pace(ctx, interval, meter.MaxDatagrams, known, func(number int) {
		binary.BigEndian.PutUint64(buf[8:], uint64(number))
		binary.BigEndian.PutUint64(buf[16:], uint64(time.Now().UnixNano()))
		if _, err := socket.WriteToUDPAddrPort(buf, *to()); err != nil {
			s.refused++
		}
		s.sent = number + 1
	})
}

func (s *stream) receive(socket *net.UDPConn) {
	eachDatagram(socket, 64<<10, func(data []byte, _ netip.AddrPort, at time.Time) {
		if len(data) < udpHeader || data[0] != udpData {
			return
		}
		number := binary.BigEndian.Uint64(data[8:])
		if number >= meter.MaxDatagrams || !s.order.Arrive(number) {
			return
		}
		s.arrived.Add(1)
		s.delay.Add(at.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(data[16:])))))
		if now := s.now(); now <= s.end() {
			s.meter.Deliver(now, len(data))
		}
	})
}

func (s *stream) outcome() meter.Outcome {
	s.meter.Idle(s.end())
	var out meter.Outcome
	out.SetUDP(meter.Datagrams{
		Delivery: s.delivered(s.end(), &s.meter), Sent: s.sent, Order: &s.order, Delay: s.delay,
	})
	if s.refused > 0 {
		out.Note("%d of %d datagrams were refused by the sender's kernel", s.refused, s.sent)
	}
	return out
}
