package virtual

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/report"
)

// pinger sends ICMP echo requests from the client and measures the answers.
type pinger struct {
	*Traffic
	socket  *socket
	to      netip.AddrPort
	request []byte
	rtt     *meter.Spread
	answers report.Series            // round-trip times in s, by when the answer came
	pending map[uint64]time.Duration // when each request was sent
	sent    int
	stopped bool
	buf     bytes.Buffer
}

// icmpHeader is the size of an echo's header, ICMPv4 and ICMPv6 alike.
const icmpHeader = header.ICMPv4MinimumSize

func newPinger(t *Traffic) (generator, error) {
	if t.Interval <= 0 {
		return nil, fmt.Errorf("interval %v: must be above 0", t.Interval)
	}
	p := &pinger{
		Traffic: t, rtt: meter.NewSpread(), pending: map[uint64]time.Duration{},
		to:      netip.AddrPortFrom(t.pick(hostAddresses(t.To)), 0),
		request: make([]byte, icmpHeader+meter.PingPayload),
	}
	protocol := icmp.ProtocolNumber4
	p.request[0] = byte(header.ICMPv4Echo)
	if t.IP == 6 {
		protocol = icmp.ProtocolNumber6
		p.request[0] = byte(header.ICMPv6EchoRequest)
	}
	id, local := t.local()
	var err error
	p.socket, err = t.sim.client.newSocket(protocol, id, local, p.receive)
	return p, err
}

func (p *pinger) start() error {
	p.send()
	return nil
}

// send sends the next request and sees to the one after. What cannot be sent
// counts as lost, as it does for ping's user.
func (p *pinger) send() {
	if p.stopped {
		return
	}
	number := uint64(p.sent)
	binary.BigEndian.PutUint16(p.request[6:], uint16(number))
	binary.BigEndian.PutUint64(p.request[icmpHeader:], number)
	p.pending[number] = p.now()
	p.sent++
	_ = p.socket.sendTo(p.to, p.request)
	p.sim.at(p.Start+time.Duration(p.sent)*p.Interval, p.send)
}

func (p *pinger) receive() {
	for {
		if _, ok := p.socket.receive(&p.buf); !ok {
			return
		}
		answer := p.buf.Bytes()
		if len(answer) != len(p.request) {
			continue
		}
		number := binary.BigEndian.Uint64(answer[icmpHeader:])
		if sentAt, ok := p.pending[number]; ok {
			delete(p.pending, number)
			p.rtt.Add(p.now() - sentAt)
			p.answers.T = append(p.answers.T, p.now().Seconds())
			p.answers.V = append(p.answers.V, (p.now() - sentAt).Seconds())
		}
	}
}

func (*pinger) finished() bool { return false } // it ends by time only

func (p *pinger) stop() { p.stopped = true }

func (p *pinger) outcome() meter.Outcome {
	p.socket.close()
	var out meter.Outcome
	out.SetPing(p.sent, p.rtt, p.answers)
	return out
}
