package virtual

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// asker asks a resolver behind the server at intervals, each query from a
// socket of its own.
type asker struct {
	*Traffic
	resolver *socket
	address  netip.AddrPort
	queries  int
	answered int
	rtt      *meter.Spread
	open     map[int]*socket
	stopped  bool
	buf      bytes.Buffer
	out      meter.Outcome
}

// answerAddress is what every name resolves to.
var answerAddress = netip.MustParseAddr("203.0.113.1")

func newAsker(t *Traffic) (generator, error) {
	if t.Interval <= 0 {
		return nil, fmt.Errorf("interval %v: must be above 0", t.Interval)
	}
	id, address := t.service()
	a := &asker{Traffic: t, address: address, rtt: meter.NewSpread(), open: map[int]*socket{}}
	var err error
	a.resolver, err = t.host().newSocket(udp.ProtocolNumber, id, address, a.resolve)
	return a, err
}

// resolve answers the queries that have come to the resolver.
func (a *asker) resolve() {
	for {
		from, ok := a.resolver.receive(&a.buf)
		if !ok {
			return
		}
		var query dns.Msg
		if query.Unpack(a.buf.Bytes()) != nil || len(query.Question) != 1 {
			continue
		}
		reply := new(dns.Msg).SetReply(&query)
		reply.Answer = append(reply.Answer, &dns.A{
			Hdr: dns.RR_Header{Name: query.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A:   answerAddress.AsSlice(),
		})
		packed, err := reply.Pack()
		if err == nil {
			err = a.resolver.sendTo(from, packed)
		}
		if err != nil {
			a.out.Note("the resolver: %v", err)
		}
	}
}

func (a *asker) start() error {
	a.ask()
	return nil
}

// ask sends the next query and sees to the one after.
func (a *asker) ask() {
	if a.stopped {
		return
	}
	number, began := a.queries, a.now()
	a.queries++
	a.sim.at(a.Start+time.Duration(a.queries)*a.Interval, a.ask)
	query := new(dns.Msg).SetQuestion(fmt.Sprintf("q%d.s%d.test.", number, a.sim.cfg.Seed), dns.TypeA)
	query.Id = uint16(number) // not drawn at random: a run must repeat
	id, local := a.local()
	socket, err := a.sim.client.newSocket(udp.ProtocolNumber, id, local, func() { a.receive(number, began) })
	if err != nil {
		a.out.Note("query at %.1f s: %v", began.Seconds(), err)
		return
	}
	a.open[number] = socket
	packed, err := query.Pack()
	if err == nil {
		err = socket.sendTo(a.address, packed)
	}
	if err != nil {
		a.out.Note("query at %.1f s: %v", began.Seconds(), err)
	}
	a.sim.after(meter.DNSPatience, func() { a.giveUp(number, began) })
}

// receive takes the answer to a query.
func (a *asker) receive(number int, began time.Duration) {
	socket := a.open[number]
	if _, ok := socket.receive(&a.buf); !ok {
		return
	}
	var reply dns.Msg
	if reply.Unpack(a.buf.Bytes()) != nil || reply.Id != uint16(number) || len(reply.Answer) != 1 {
		a.out.Fault("the answer to query %d is not the one the resolver gave", number)
		return
	}
	a.answered++
	a.rtt.Add(a.now() - began)
	delete(a.open, number)
	socket.close()
}

func (a *asker) giveUp(number int, began time.Duration) {
	if socket := a.open[number]; socket != nil {
		a.out.Note("query at %.1f s: no answer within %s", began.Seconds(), meter.DNSPatience)
		delete(a.open, number)
		socket.close()
	}
}

func (*asker) finished() bool { return false } // it ends by time only

func (a *asker) stop() { a.stopped = true }

func (a *asker) outcome() meter.Outcome {
	a.resolver.close()
	for _, socket := range a.open {
		socket.close()
	}
	a.out.SetDNS(a.queries, a.queries-a.answered, a.rtt)
	return a.out
}
