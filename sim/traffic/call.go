package traffic

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/multilink-vpn/multilink/sim/call"
	"github.com/multilink-vpn/multilink/sim/meter"
)

// runCall runs a call. Both parties use symmetric ports (RFC 4961): the host
// sends to where the client's packets come from.
func runCall(ctx context.Context, j Job) (meter.Outcome, error) {
	c, err := newPhones(ctx, j)
	if err != nil {
		return meter.Outcome{}, err
	}
	defer c.close()
	if err := j.waitStart(ctx); err != nil {
		return meter.Outcome{}, err
	}
	c.run(ctx)
	return call.Outcome(c.client.party, c.host.party, j.end()), nil
}

// phones are the two ends of a call. One lock serves it all: it is about a
// hundred packets a second.
type phones struct {
	Job
	mu           sync.Mutex
	client, host *phone
}

// phone is one end of a call with its two sockets: RTP on an even port, RTCP
// on the next.
type phone struct {
	calls        *phones
	party        *call.Party
	media, tally *net.UDPConn
	// Where the other's media and reports go; nil as long as that is unknown.
	mediaTo, tallyTo atomic.Pointer[netip.AddrPort]
	// learns says that the other is where its packets come from.
	learns bool
}

func newPhones(ctx context.Context, j Job) (*phones, error) {
	client, host, err := call.New(j.Codec, j.Direction, j.Seed)
	if err != nil {
		return nil, err
	}
	c := &phones{Job: j}
	c.host = &phone{calls: c, party: host, learns: true}
	c.client = &phone{calls: c, party: client}
	if err := c.host.open(ctx, j.Host, j.Host.Addr); err != nil {
		return nil, fmt.Errorf("the host's sockets: %w", err)
	}
	err = j.keepOpening(ctx, func() error { return c.client.open(ctx, j.Client, wildcard(j.Host.Addr)) })
	if err != nil {
		c.host.close()
		return nil, fmt.Errorf("the client's sockets: %w", err)
	}
	port := c.host.media.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	media, tally := netip.AddrPortFrom(j.Host.Addr, port), netip.AddrPortFrom(j.Host.Addr, port+1)
	c.client.mediaTo.Store(&media)
	c.client.tallyTo.Store(&tally)
	return c, nil
}

// open opens the sockets.
func (p *phone) open(ctx context.Context, at End, addr netip.Addr) error {
	for range call.PortAttempts {
		media, err := at.listenUDP(ctx, addr, 0)
		if err != nil {
			return err
		}
		port := media.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		if port%2 == 0 {
			tally, err := at.listenUDP(ctx, addr, port+1)
			if err == nil {
				p.media, p.tally = media, tally
				return nil
			}
		}
		media.Close()
	}
	return errors.New("no two neighbouring ports are free")
}

func (p *phone) close() {
	p.media.Close()
	p.tally.Close()
}

func (c *phones) close() {
	c.client.close()
	c.host.close()
}

// run lets the parties talk until the end of the traffic, and hears what is
// still under way.
func (c *phones) run(ctx context.Context) {
	var listening, talking, background sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, p := range []*phone{c.client, c.host} {
		listening.Go(func() { p.listen(p.media, &p.mediaTo, p.hear) })
		listening.Go(func() { p.listen(p.tally, &p.tallyTo, p.note) })
		background.Go(func() { p.reportAlways(ctx) })
		if p.party.Out != nil {
			talking.Go(func() { p.talk(ctx) })
		}
	}
	if c.client.party.Out == nil {
		background.Go(func() { c.client.keepAlive(ctx) })
	}
	talking.Wait()
	c.waitForLast(ctx)
	cancel()
	background.Wait()
	c.close()
	listening.Wait()
}

// waitForLast gives the last packets their time to arrive.
func (c *phones) waitForLast(ctx context.Context) {
	limit := time.Now().Add(meter.Lateness)
	for c.missing() > 0 && time.Now().Before(limit) {
		if SleepUntil(ctx, time.Now().Add(peerPoll)) != nil {
			return
		}
	}
}

// missing is how many packets may still be under way.
func (c *phones) missing() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range []*phone{c.client, c.host} {
		if p.party.In != nil {
			n += p.party.In.Missing()
		}
	}
	return n
}

// wall is a moment of the wall clock as a time of the run: the kernel's times
// of receipt are of that clock.
func (j Job) wall(t time.Time) time.Duration { return t.Round(0).Sub(j.Origin.Round(0)) }

// talk sends the party's stream.
func (p *phone) talk(ctx context.Context) {
	known := func() bool { return p.mediaTo.Load() != nil }
	p.calls.pace(ctx, float64(call.Frame), call.MaxPackets, known, func(int) {
		p.calls.mu.Lock()
		packet := p.party.Out.Next(p.calls.wall(time.Now()))
		p.calls.mu.Unlock()
		// What the kernel refuses is lost to the listener.
		_, _ = p.media.WriteToUDPAddrPort(packet, *p.mediaTo.Load())
	})
}

// keepAlive sends empty datagrams to the other party.
func (p *phone) keepAlive(ctx context.Context) {
	for {
		_, _ = p.media.WriteToUDPAddrPort(nil, *p.mediaTo.Load())
		if SleepUntil(ctx, time.Now().Add(call.KeepAliveInterval)) != nil {
			return
		}
	}
}

// reportAlways sends the party's reports.
func (p *phone) reportAlways(ctx context.Context) {
	for pause := call.ReportInterval / 2; SleepUntil(ctx, time.Now().Add(pause)) == nil; pause = call.ReportInterval {
		if to := p.tallyTo.Load(); to != nil {
			now := time.Now()
			p.calls.mu.Lock()
			packet := p.party.Report(p.calls.wall(now), now)
			p.calls.mu.Unlock()
			_, _ = p.tally.WriteToUDPAddrPort(packet, *to)
		}
	}
}

// listen hands on what comes to a socket, until it is closed.
func (p *phone) listen(socket *net.UDPConn, peer *atomic.Pointer[netip.AddrPort], take func(time.Duration, []byte)) {
	eachDatagram(socket, 2048, func(packet []byte, from netip.AddrPort, at time.Time) {
		if p.learns {
			peer.Store(&from)
		}
		if len(packet) == 0 { // a keep-alive
			return
		}
		p.calls.mu.Lock()
		take(p.calls.wall(at), packet)
		p.calls.mu.Unlock()
	})
}

// hear takes a packet of the other's stream.
func (p *phone) hear(now time.Duration, packet []byte) {
	if p.party.In != nil {
		p.party.In.Arrive(now, packet)
	}
}

// note takes one of the other's reports.
func (p *phone) note(now time.Duration, packet []byte) { p.party.Heard(now, packet) }
