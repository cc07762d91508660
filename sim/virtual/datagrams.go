package virtual

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// datagrams is one direction of a constant flow of UDP datagrams. Each begins
// with its number and the time it was sent at, 8 bytes each.
type datagrams struct {
	*Traffic
	direction        Direction
	sender, receiver *socket
	to               netip.AddrPort
	interval         float64 // in nanoseconds
	payload          []byte
	sent, refused    int
	stopped          bool
	meter            meter.Meter
	order            meter.Order
	delay            *meter.Spread
	buf              bytes.Buffer
	out              meter.Outcome
}

const datagramHeader = 16

func newDatagrams(t *Traffic, d Direction) (generator, error) {
	if t.Packet < datagramHeader || t.Rate <= 0 {
		return nil, fmt.Errorf("packet %d and rate %g: a packet has at least %d bytes and the rate is above 0",
			t.Packet, t.Rate, datagramHeader)
	}
	g := &datagrams{
		Traffic: t, direction: d, delay: meter.NewSpread(), payload: make([]byte, t.Packet),
		interval: float64(t.Packet) * 8 / t.Rate * float64(time.Second),
	}
	id, local := t.local()
	here, err := t.sim.client.newSocket(udp.ProtocolNumber, id, local, g.receive)
	if err != nil {
		return nil, fmt.Errorf("the client's socket: %w", err)
	}
	id, service := t.service()
	there, err := t.host().newSocket(udp.ProtocolNumber, id, service, g.receive)
	if err != nil {
		return nil, fmt.Errorf("the host's socket: %w", err)
	}
	g.sender, g.receiver, g.to = here, there, service
	if d == Down {
		bound, err := here.endpoint.GetLocalAddress()
		if err != nil {
			return nil, fmt.Errorf("the client's address: %s", err)
		}
		g.sender, g.receiver = there, here
		g.to = netip.AddrPortFrom(local.Addr(), bound.Port)
	}
	return g, nil
}

func (g *datagrams) start() error {
	g.meter.Warm = g.warm()
	g.meter.Wait(g.Start)
	g.send()
	return nil
}

// send sends the next datagram and sees to the one after.
func (g *datagrams) send() {
	if g.stopped || g.sent == meter.MaxDatagrams {
		return
	}
	binary.BigEndian.PutUint64(g.payload, uint64(g.sent))
	binary.BigEndian.PutUint64(g.payload[8:], uint64(g.now()))
	if g.sender.sendTo(g.to, g.payload) != nil {
		g.refused++
	}
	g.sent++
	g.sim.at(g.Start+time.Duration(float64(g.sent)*g.interval), g.send)
}

func (g *datagrams) receive() {
	for {
		if _, ok := g.receiver.receive(&g.buf); !ok {
			return
		}
		p := g.buf.Bytes()
		if len(p) != len(g.payload) {
			g.out.Fault("a datagram of %d bytes came, all had %d", len(p), len(g.payload))
			continue
		}
		number, sentAt := binary.BigEndian.Uint64(p), time.Duration(binary.BigEndian.Uint64(p[8:]))
		if number >= meter.MaxDatagrams || !g.order.Arrive(number) {
			continue
		}
		g.delay.Add(g.now() - sentAt)
		if now := g.now(); now <= g.end() {
			g.meter.Deliver(now, len(p))
		}
	}
}

func (*datagrams) finished() bool { return false } // it ends by time only

func (g *datagrams) stop() {
	g.stopped = true
	g.meter.Idle(g.end())
}

func (g *datagrams) outcome() meter.Outcome {
	g.sender.close()
	g.receiver.close()
	g.out.SetUDP(meter.Datagrams{
		Delivery: g.delivered(g.end(), &g.meter), Sent: g.sent, Order: &g.order, Delay: g.delay,
	})
	if g.refused > 0 {
		g.out.Note("%d of %d datagrams were refused by the sender's stack", g.refused, g.sent)
	}
	return g.out
}
