package e2e

import (
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// inboxPort is where specs listen for datagrams, attempts how many they send.
const (
	inboxPort = 7008
	attempts  = 5
)

var _ = Describe("Two clients of one server", func() {
	var (
		b    *bench
		one  *program
		two  *program
		ours []string // addresses of one
		its  []string // addresses of two
	)
	start := func(server keys) {
		GinkgoHelper()
		b = newBench(2, 1)
		b.server.set(server)
		b.start()
		b.router.mirror()
		one, two = b.clients[0], b.clients[1]
		ours, its = one.addresses(), two.addresses()
	}

	It("both reach the internet, and not each other", func() {
		start(nil)
		Expect(ours).NotTo(ContainElements(its))
		for _, c := range b.clients {
			for host, seen := range map[string]string{host4: serverAddress, host6: "fd00:192::1"} {
				Expect(c.on.seenAs(host, socketOptions{})).To(Equal(seen))
			}
		}
		before := b.server.status().Counters["drop_isolated"]
		for family, address := range its {
			in := two.on.inbox(address, inboxPort)
			one.on.datagrams(address, inboxPort, attempts)
			// All are accounted for, so that none is on its way any more.
			Eventually(func() uint64 { return b.server.status().Counters["drop_isolated"] }).
				Should(BeNumerically(">=", before+uint64(attempts*(family+1))))
			Expect(in.senders()).To(BeEmpty(), "%s reached %s", ours, address)
		}
	})

	It("reach each other where client_to_client is set", func() {
		start(keys{"client_to_client": true})
		for family, address := range its {
			in := two.on.inbox(address, inboxPort)
			Eventually(func() []string {
				one.on.datagrams(address, inboxPort, 1)
				return in.senders()
			}).Should(ContainElement(ours[family]))
		}
	})

	It("cannot pretend to be each other", func() {
		start(keys{"client_to_client": true})
		before := spoofed(b.server, one)
		sent := uint64(0)
		gateways := []string{tunnelGateway, "fd4d:4c::1"}
		hosts := []string{host4, host6}
		for family, source := range its {
			atServer := b.server.on.inbox(gateways[family], inboxPort)
			atHost := b.router.inbox(hosts[family], inboxPort)
			for range attempts {
				one.on.inject("multilink0", datagramPacket(source, gateways[family], inboxPort))
				one.on.inject("multilink0", datagramPacket(source, hosts[family], inboxPort))
			}
			sent += 2 * attempts
			Eventually(func() uint64 { return spoofed(b.server, one) }).Should(BeNumerically(">=", before+sent))
			Expect(atServer.senders()).To(BeEmpty())
			Expect(atHost.senders()).To(BeEmpty())
			// The same packets with the client's own address arrive.
			Eventually(func() []string {
				one.on.inject("multilink0", datagramPacket(ours[family], gateways[family], inboxPort))
				return atServer.senders()
			}).Should(ContainElement(ours[family]))
		}
	})

	It("have the same addresses again after they and the server were restarted", func() {
		start(nil)
		one.stop()
		two.kill()
		b.server.stop()
		b.server.start()
		b.server.waitUp(0)
		two.start() // the other way round than the first time
		two.waitUp(1)
		one.start()
		one.waitUp(1)
		Expect(one.addresses()).To(Equal(ours))
		Expect(two.addresses()).To(Equal(its))
	})

	It("go on by themselves, with the same addresses, after a kill -9 of the server", func() {
		start(nil)
		session := one.status().Session.ID
		b.server.kill()
		b.server.start()
		for _, c := range b.clients {
			Eventually(func() *sessionStatus { return c.status().Session }).ShouldNot(Or(BeNil(), HaveField("ID", session)))
			c.waitUp(1)
			Expect(c.on.seenAs(host4, socketOptions{})).To(Equal(serverAddress))
		}
		Expect(one.addresses()).To(Equal(ours))
		Expect(two.addresses()).To(Equal(its))
	})
})

// spoofed counts the packets with a source that is not the client's, which the
// client leaves out, or the server for a client that does not.
func spoofed(server, client *program) uint64 {
	GinkgoHelper()
	return server.status().Counters["drop_spoofed"] + client.status().Counters["drop_foreign_source"]
}

// datagramPacket is an IP packet with a UDP datagram.
func datagramPacket(from, to string, port int) []byte {
	GinkgoHelper()
	ip := networkLayer(from, to, layers.IPProtocolUDP)
	udp := &layers.UDP{SrcPort: 5353, DstPort: layers.UDPPort(port)}
	Expect(udp.SetNetworkLayerForChecksum(ip)).To(Succeed())
	buf := gopacket.NewSerializeBuffer()
	Expect(gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ip.(gopacket.SerializableLayer), udp, gopacket.Payload("not what it seems"))).To(Succeed())
	return buf.Bytes()
}

// networkLayer is the IP header of a packet.
func networkLayer(from, to string, protocol layers.IPProtocol) gopacket.NetworkLayer {
	source, destination := net.ParseIP(from), net.ParseIP(to)
	if netip.MustParseAddr(from).Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: source, DstIP: destination}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: source, DstIP: destination}
}
