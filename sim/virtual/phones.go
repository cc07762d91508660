package virtual

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/multilink-vpn/multilink/sim/call"
	"github.com/multilink-vpn/multilink/sim/meter"
)

// phones are the two ends of a call.
type phones struct {
	*Traffic
	client, host *phone
	stopped      bool
}

// phone is one end of a call with its two sockets: RTP on an even port, RTCP
// on the next.
type phone struct {
	calls            *phones
	party            *call.Party
	media, tally     *socket
	mediaTo, tallyTo netip.AddrPort // of the other
	buf              bytes.Buffer
}

// epoch is what the time of day is at the beginning of a run.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func newPhones(t *Traffic) (generator, error) {
	client, host, err := call.New(t.Codec, t.Direction, t.sim.seedOf(t.Name))
	if err != nil {
		return nil, err
	}
	c := &phones{Traffic: t}
	c.client, c.host = &phone{calls: c, party: client}, &phone{calls: c, party: host}
	if err := c.client.take(); err != nil {
		return nil, fmt.Errorf("the client's sockets: %w", err)
	}
	if err := c.host.serve(); err != nil {
		return nil, fmt.Errorf("the host's sockets: %w", err)
	}
	bound, failed := c.client.media.endpoint.GetLocalAddress()
	if failed != nil {
		return nil, fmt.Errorf("the client's address: %s", failed)
	}
	_, local := t.local()
	c.host.mediaTo = netip.AddrPortFrom(local.Addr(), bound.Port)
	c.host.tallyTo = netip.AddrPortFrom(local.Addr(), bound.Port+1)
	return c, nil
}

// serve opens the host's sockets and tells the client where they are.
func (p *phone) serve() error {
	t := p.calls.Traffic
	t.sim.ports |= 1 // so that the next is even
	id, media := t.service()
	_, tally := t.service()
	p.calls.client.mediaTo, p.calls.client.tallyTo = media, tally
	var err error
	if p.media, err = t.host().newSocket(udp.ProtocolNumber, id, media, p.hear); err != nil {
		return err
	}
	p.tally, err = t.host().newSocket(udp.ProtocolNumber, id, tally, p.note)
	return err
}

// take opens the client's sockets on two free ports.
func (p *phone) take() error {
	id, local := p.calls.local()
	for range call.PortAttempts {
		media, err := p.calls.sim.client.newSocket(udp.ProtocolNumber, id, local, p.hear)
		if err != nil {
			return err
		}
		bound, failed := media.endpoint.GetLocalAddress()
		if failed == nil && bound.Port%2 == 0 {
			next := netip.AddrPortFrom(local.Addr(), bound.Port+1)
			if tally, err := p.calls.sim.client.newSocket(udp.ProtocolNumber, id, next, p.note); err == nil {
				p.media, p.tally = media, tally
				return nil
			}
		}
		media.close()
	}
	return errors.New("no two neighbouring ports are free")
}

func (c *phones) start() error {
	for _, p := range []*phone{c.client, c.host} {
		if p.party.Out != nil {
			p.talk(0)
		}
		c.sim.at(c.Start+call.ReportInterval/2, p.report)
	}
	if c.client.party.Out == nil {
		c.client.keepAlive()
	}
	return nil
}

// talk sends packet number n and sees to the one after.
func (p *phone) talk(n int) {
	if p.calls.stopped {
		return
	}
	packet := p.party.Out.Next(p.calls.now())
	if packet == nil {
		return
	}
	_ = p.media.sendTo(p.mediaTo, packet) // what the stack refuses is lost to the listener
	p.calls.sim.at(p.calls.Start+time.Duration(n+1)*call.Frame, func() { p.talk(n + 1) })
}

// keepAlive sends an empty datagram and sees to the one after.
func (p *phone) keepAlive() {
	if !p.calls.stopped {
		_ = p.media.sendTo(p.mediaTo, nil)
		p.calls.sim.at(p.calls.now()+call.KeepAliveInterval, p.keepAlive)
	}
}

// report sends a report and sees to the one after.
func (p *phone) report() {
	if !p.calls.stopped {
		now := p.calls.now()
		_ = p.tally.sendTo(p.tallyTo, p.party.Report(now, epoch.Add(now)))
		p.calls.sim.at(now+call.ReportInterval, p.report)
	}
}

// hear takes the packets of the other's stream.
func (p *phone) hear() {
	for {
		if _, ok := p.media.receive(&p.buf); !ok {
			return
		}
		if p.buf.Len() > 0 && p.party.In != nil { // else a keep-alive
			p.party.In.Arrive(p.calls.now(), p.buf.Bytes())
		}
	}
}

// note takes the other's reports.
func (p *phone) note() {
	for {
		if _, ok := p.tally.receive(&p.buf); !ok {
			return
		}
		p.party.Heard(p.calls.now(), p.buf.Bytes())
	}
}

func (*phones) finished() bool { return false } // it ends by time only

func (c *phones) stop() { c.stopped = true }

func (c *phones) outcome() meter.Outcome {
	for _, p := range []*phone{c.client, c.host} {
		p.media.close()
		p.tally.close()
	}
	return call.Outcome(c.client.party, c.host.party, c.end())
}
