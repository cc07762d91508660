package traffic

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/report"
)

// ICMP protocol numbers, as icmp.ParseMessage wants them.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// runPing sends ICMP echo requests from the client and measures the answers.
// Requests that cannot be sent count as lost, as they do for ping's user.
func runPing(ctx context.Context, j Job) (meter.Outcome, error) {
	if j.Interval <= 0 {
		return meter.Outcome{}, fmt.Errorf("interval %v: must be above 0", j.Interval)
	}
	p := &pinger{Job: j, id: rand.IntN(1 << 16), rtt: meter.NewSpread(), pending: map[uint64]time.Time{}}
	if err := j.waitStart(ctx); err != nil {
		return meter.Outcome{}, err
	}
	var receiving sync.WaitGroup
	defer receiving.Wait()
	defer func() { p.close() }()
	for number := uint64(0); ; number++ {
		due := j.Start + time.Duration(number)*j.Interval
		if due >= j.end() {
			break
		}
		if err := SleepUntil(ctx, j.Origin.Add(due)); err != nil {
			return meter.Outcome{}, err
		}
		if p.socket == nil && p.open(ctx) == nil {
			receiving.Go(p.receive)
		}
		p.send(number)
	}
	p.waitForLast(ctx)
	p.close()
	receiving.Wait()
	return p.outcome(), nil
}

// pinger is the state of one ping traffic.
type pinger struct {
	Job
	id     int
	socket *net.IPConn

	mu      sync.Mutex
	pending map[uint64]time.Time // by number: when it was sent
	sent    int
	rtt     *meter.Spread
	answers report.Series // round-trip times in s, by when the answer came
}

// open makes the raw socket; a link that is not there yet makes it fail.
func (p *pinger) open(ctx context.Context) error {
	name := "ip4:icmp"
	if p.Host.Addr.Is6() {
		name = "ip6:ipv6-icmp"
	}
	return nsdo.In(p.Client.NS, func() error {
		lc := net.ListenConfig{Control: p.Client.control(timestamps)}
		c, err := lc.ListenPacket(ctx, name, wildcard(p.Host.Addr).String())
		if err == nil {
			p.socket = c.(*net.IPConn)
		}
		return err
	})
}

func (p *pinger) close() {
	if p.socket != nil {
		p.socket.Close()
	}
}

// send sends request number.
func (p *pinger) send(number uint64) {
	data := make([]byte, meter.PingPayload)
	binary.BigEndian.PutUint64(data, number)
	message := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: p.id, Seq: int(uint16(number)), Data: data}}
	if p.Host.Addr.Is6() {
		message.Type = ipv6.ICMPTypeEchoRequest // its kernel adds the checksum
	}
	packet, err := message.Marshal(nil)
	p.mu.Lock()
	p.sent++
	p.pending[number] = time.Now()
	p.mu.Unlock()
	if err == nil && p.socket != nil {
		_, _ = p.socket.WriteTo(packet, &net.IPAddr{IP: p.Host.Addr.AsSlice()})
	}
}

func (p *pinger) receive() {
	buf := make([]byte, 2048)
	oob := make([]byte, timestampSpace)
	for {
		n, oobn, _, _, err := p.socket.ReadMsgIP(buf, oob)
		if isClosed(err) {
			return
		}
		if number, ok := p.echoReply(buf[:n]); err == nil && ok {
			p.answered(number, receivedAt(oob[:oobn]))
		}
	}
}

// echoReply returns the number in an answer to one of our requests. IPv4
// packets come with their header, IPv6 ones without.
func (p *pinger) echoReply(packet []byte) (uint64, bool) {
	protocol := protocolICMPv6
	if p.Host.Addr.Is4() {
		protocol = protocolICMP
		if len(packet) < 20 || len(packet) < int(packet[0]&0x0f)*4 {
			return 0, false
		}
		packet = packet[int(packet[0]&0x0f)*4:]
	}
	message, err := icmp.ParseMessage(protocol, packet)
	if err != nil || (message.Type != ipv4.ICMPTypeEchoReply && message.Type != ipv6.ICMPTypeEchoReply) {
		return 0, false
	}
	echo, ok := message.Body.(*icmp.Echo)
	if !ok || echo.ID != p.id || len(echo.Data) != meter.PingPayload {
		return 0, false
	}
	return binary.BigEndian.Uint64(echo.Data), true
}

func (p *pinger) answered(number uint64, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if sentAt, ok := p.pending[number]; ok {
		p.rtt.Add(at.Sub(sentAt))
		p.answers.T = append(p.answers.T, at.Sub(p.Origin).Seconds())
		p.answers.V = append(p.answers.V, at.Sub(sentAt).Seconds())
		delete(p.pending, number)
	}
}

// waitForLast gives the last requests their time to be answered.
func (p *pinger) waitForLast(ctx context.Context) {
	for limit := time.Now().Add(meter.Lateness); time.Now().Before(limit); {
		p.mu.Lock()
		waiting := len(p.pending)
		p.mu.Unlock()
		if waiting == 0 || SleepUntil(ctx, time.Now().Add(20*time.Millisecond)) != nil {
			return
		}
	}
}

func (p *pinger) outcome() meter.Outcome {
	var out meter.Outcome
	out.SetPing(p.sent, p.rtt, p.answers)
	return out
}

// isClosed says that a socket was closed, as opposed to an error that a
// further read can outlive.
func isClosed(err error) bool { return errors.Is(err, net.ErrClosed) }
