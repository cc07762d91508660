package traffic

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// resolver is the DNS server of a host, over UDP and TCP.
type resolver struct {
	servers []*dns.Server
	addr    netip.AddrPort
	serving sync.WaitGroup
}

// startResolver answers queries for A and AAAA of any name on an end's port
// (0: a free one) with an address that follows from the name.
func startResolver(ctx context.Context, at End, port uint16) (*resolver, error) {
	packets, err := at.listenUDP(ctx, at.Addr, port)
	if err != nil {
		return nil, fmt.Errorf("the resolver's socket: %w", err)
	}
	r := &resolver{addr: netip.AddrPortFrom(at.Addr, uint16(packets.LocalAddr().(*net.UDPAddr).Port))}
	listener, err := at.listenTCP(ctx, r.addr.Port(), "")
	if err != nil {
		packets.Close()
		return nil, fmt.Errorf("the resolver's socket: %w", err)
	}
	r.servers = []*dns.Server{
		{PacketConn: packets, Handler: dns.HandlerFunc(answer)},
		{Listener: listener, Handler: dns.HandlerFunc(answer)},
	}
	for _, server := range r.servers {
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		r.serving.Go(func() { _ = server.ActivateAndServe() }) // ends with stop
		<-ready
	}
	return r, nil
}

func (r *resolver) stop() {
	for _, server := range r.servers {
		_ = server.Shutdown()
	}
	r.serving.Wait()
}

func answer(w dns.ResponseWriter, query *dns.Msg) {
	reply := new(dns.Msg).SetReply(query)
	for _, q := range query.Question {
		header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: 60}
		switch q.Qtype {
		case dns.TypeA:
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: addressOf(q.Name, false).AsSlice()})
		case dns.TypeAAAA:
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header, AAAA: addressOf(q.Name, true).AsSlice()})
		}
	}
	_ = w.WriteMsg(reply)
}

// addressOf is the address that a name resolves to: in 203.0.113.0/24 or
// 2001:db8::/64, by the name's hash.
func addressOf(name string, six bool) netip.Addr {
	h := fnv.New64a()
	h.Write([]byte(name))
	if !six {
		return netip.AddrFrom4([4]byte{203, 0, 113, byte(h.Sum64())})
	}
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	copy(a[8:], h.Sum(nil))
	return netip.AddrFrom16(a)
}

// runDNS asks the resolver behind the server at intervals.
func runDNS(ctx context.Context, j Job) (meter.Outcome, error) {
	if j.Interval <= 0 {
		return meter.Outcome{}, fmt.Errorf("interval %v: must be above 0", j.Interval)
	}
	server, err := startResolver(ctx, j.Host, 0)
	if err != nil {
		return meter.Outcome{}, err
	}
	defer server.stop()
	if err := j.waitStart(ctx); err != nil {
		return meter.Outcome{}, err
	}
	a := &asker{Job: j, rtt: meter.NewSpread()}
	var asking sync.WaitGroup
	for number := 0; ; number++ {
		due := j.Start + time.Duration(number)*j.Interval
		if due >= j.end() {
			break
		}
		if err = SleepUntil(ctx, j.Origin.Add(due)); err != nil {
			break
		}
		a.queries++
		asking.Go(func() { a.ask(ctx, server.addr, fmt.Sprintf("q%d.s%d.test.", number, j.Seed)) })
	}
	asking.Wait()
	if err != nil {
		return meter.Outcome{}, err
	}
	a.out.SetDNS(a.queries, a.failed, a.rtt)
	return a.out, nil
}

// asker is the client's side of a dns traffic.
type asker struct {
	Job
	queries int

	mu     sync.Mutex
	rtt    *meter.Spread
	failed int
	out    meter.Outcome
}

func (a *asker) ask(ctx context.Context, server netip.AddrPort, name string) {
	began := time.Now()
	err := a.exchange(ctx, server, name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failed++
		a.out.Note("query at %.1f s: %v", began.Sub(a.Origin).Seconds(), err)
		return
	}
	a.rtt.Add(time.Since(began))
}

// exchange sends one query from a socket of its own and checks the answer.
func (a *asker) exchange(ctx context.Context, server netip.AddrPort, name string) error {
	ctx, cancel := context.WithTimeout(ctx, meter.DNSPatience)
	defer cancel()
	var conn net.Conn
	err := nsdo.In(a.Client.NS, func() (err error) {
		d := net.Dialer{Control: a.Client.control(nil)}
		conn, err = d.DialContext(ctx, network("udp", server.Addr()), server.String())
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })()
	query := new(dns.Msg).SetQuestion(name, dns.TypeA)
	c := &dns.Conn{Conn: conn}
	if err := c.WriteMsg(query); err != nil {
		return err
	}
	for {
		reply, err := c.ReadMsg()
		if err != nil {
			return err
		}
		if reply.Id != query.Id {
			continue
		}
		if len(reply.Answer) == 1 {
			if got, ok := reply.Answer[0].(*dns.A); ok && got.A.Equal(addressOf(name, false).AsSlice()) {
				return nil
			}
		}
		return errors.New("the answer is not the one the resolver gave")
	}
}
