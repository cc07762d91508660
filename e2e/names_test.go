package e2e

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// serverName is how clients of the specs on names call their server.
const serverName = "vpn.example.org"

// nameServer answers with the server's address those who ask from the networks
// it knows. To all others the name does not exist: as if each access network
// had a name server of its own.
type nameServer struct {
	known atomic.Pointer[[]string] // prefixes of addresses, as text
}

// resolveFor sets who gets an answer.
func (n *nameServer) resolveFor(networks ...string) { n.known.Store(&networks) }

// ServeDNS answers one question.
func (n *nameServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetRcode(q, dns.RcodeNameError)
	for _, network := range *n.known.Load() {
		if !strings.HasPrefix(w.RemoteAddr().String(), network) {
			continue
		}
		m.Rcode = dns.RcodeSuccess
		if asked := q.Question[0]; asked.Qtype == dns.TypeA {
			m.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1},
				A:   netip.MustParseAddr(serverAddress).AsSlice(),
			}}
		}
	}
	_ = w.WriteMsg(m) // who does not get it asks again
}

// startNameServer starts one on a machine.
func startNameServer(on *machine) *nameServer {
	GinkgoHelper()
	var conn net.PacketConn
	on.do(func() (err error) {
		conn, err = net.ListenPacket("udp4", net.JoinHostPort(resolver, "53"))
		return err
	})
	n := &nameServer{}
	n.resolveFor()
	s := &dns.Server{PacketConn: conn, Handler: n}
	serving := make(chan error, 1)
	go func() { serving <- s.ActivateAndServe() }()
	DeferCleanup(func() {
		conn.Close()
		<-serving
	})
	return n
}

var _ = Describe("The server's name", func() {
	var (
		b      *bench
		client *program
		names  *nameServer
	)
	BeforeEach(func() {
		b = newBench(1, 2)
		client = b.clients[0]
		client.on.nameserver(resolver)
		client.set(keys{"server": serverName})
		names = startNameServer(b.router)
		b.server.start()
		b.server.waitUp(0)
	})

	It("may resolve over one link only", func() {
		names.resolveFor(linkNetwork(0, 1))
		client.start()
		// What one link learns serves the other, too.
		client.waitUp(2)
		Expect(client.log()).To(SatisfyAll(
			ContainSubstring("link=wan0"), ContainSubstring(serverName+" does not resolve over wan0")))
		b.router.mirror()
		Expect(client.on.seenAs(host4, socketOptions{})).To(Equal(serverAddress))
	})

	It("is asked for until it resolves, and status says why there is no tunnel", func() {
		client.start()
		Eventually(func(g Gomega) {
			s := client.status()
			g.Expect(s.State).To(Equal("connecting"))
			g.Expect(s.Reason).To(ContainSubstring(serverName + " does not resolve over"))
			for _, name := range []string{"wan0", "wan1"} {
				g.Expect(s.link(name).LastError).To(ContainSubstring(serverName + " does not resolve over " + name))
			}
		}).Should(Succeed())
		names.resolveFor(linkNetwork(0, 0), linkNetwork(0, 1))
		client.waitUp(2)
	})
})
