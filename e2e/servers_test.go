package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("Two servers on one machine", func() {
	// second is a server beside the one of the bench that has all of its own.
	second := func(b *bench, client *program) *program {
		GinkgoHelper()
		s := newServer(b.network.server, "second", client)
		s.set(keys{
			"listen":    fmt.Sprintf(":%d", serverPort+1),
			"tun":       keys{"name": "multilink1"},
			"addresses": keys{"pool4": "10.9.0.0/24", "pool6": "fd4d:4d::/64"},
			"state_dir": b.server.path("state"), // as by default: one for all
		})
		client.set(keys{"server": fmt.Sprintf("%s:%d", serverAddress, serverPort+1), "server_key": s.public})
		return s
	}

	It("both serve, also when the other one ends, and leave nothing", func() {
		b := newBench(2, 1)
		other := second(b, b.clients[1])
		b.router.mirror()
		before := other.on.settings()
		other.start()
		other.waitUp(0)
		b.start()
		Expect(b.clients[0].addresses()[0]).To(HavePrefix("10.8.0."))
		Expect(b.clients[1].addresses()[0]).To(HavePrefix("10.9.0."))
		for _, c := range b.clients {
			Expect(c.on.seenAs(host4, socketOptions{})).To(Equal(serverAddress))
		}
		b.server.stop()
		Expect(b.clients[1].on.seenAs(host4, socketOptions{})).To(Equal(serverAddress))
		Expect(b.clients[1].on.seenAs(host6, socketOptions{})).To(Equal("fd00:192::1"))
		other.stop()
		other.on.expectSettings(before)
	})

	DescribeTable("say what they cannot share",
		func(share func(other *program), words ...string) {
			b := newBench(1, 1)
			other := second(b, b.clients[0])
			share(other)
			b.server.start()
			b.server.waitUp(0)
			before := other.on.settings()
			other.start()
			Expect(other.ended()).To(Equal(1))
			for _, word := range words {
				Expect(other.log()).To(ContainSubstring(word))
			}
			other.on.expectSettings(before)
			Expect(b.server.status().State).To(Equal("up"))
		},
		Entry("the device", func(other *program) { other.set(keys{"tun": keys{"name": "multilink0"}}) },
			"multilink0", "already in use", "another name", "[tun] name"),
		Entry("the device, with another state directory", func(other *program) {
			other.set(keys{"tun": keys{"name": "multilink0"}, "state_dir": other.path("state")})
		}, "multilink0", "in use"),
		Entry("the port", func(other *program) { other.set(keys{"listen": fmt.Sprintf(":%d", serverPort)}) },
			fmt.Sprintf("TCP port %d is in use", serverPort), "another port", "listen"),
	)
})

var _ = Describe("Keys that do not fit", func() {
	var (
		b      *bench
		client *program
		other  *program // whose key is not what it should be
	)
	BeforeEach(func() {
		b = newBench(1, 2)
		client = b.clients[0]
		other = newProgram(client.on, "client", "other")
	})
	expectNotUp := func(inClientLog, inServerLog []string) {
		GinkgoHelper()
		b.server.start()
		b.server.waitUp(0)
		before := client.on.settings()
		client.start()
		for _, words := range inClientLog {
			Eventually(client.log).Should(ContainSubstring(words))
		}
		for _, words := range inServerLog {
			Eventually(b.server.log).Should(ContainSubstring(words))
		}
		Eventually(func() string { return client.status().State }).Should(Equal("failing"))
		// It stays so, with nothing of the host changed but the device.
		Consistently(func() string { return client.status().State }).WithTimeout(time.Second).Should(Equal("failing"))
		_, more := differences(before, client.on.settings())
		Expect(of(more, "rule", "nftables", "resolv.conf")).To(BeEmpty())
		for _, l := range client.status().Links {
			Expect(l.LastError).To(ContainSubstring(inClientLog[0]))
		}
		client.stop()
		client.on.expectSettings(before)
	}

	It("of the server: both ends say which and why", func() {
		client.set(keys{"server_key": other.public})
		expectNotUp(
			[]string{b.server.public, other.public, "server_key"},
			[]string{"client at " + linkAddress(0, 0), "server_key must be " + b.server.public})
	})

	It("of the client: both ends say which and why", func() {
		b.server.serves(other)
		expectNotUp(
			[]string{client.public, "does not know", "[[clients]]"},
			[]string{"client at " + linkAddress(0, 0), client.public, "[[clients]]"})
	})
})

var _ = Describe("A server that is full", func() {
	It("says that the address pool is used up, and takes the client when there is room", func() {
		b := newBench(2, 1)
		// Of the five numbers of the pool, two absent clients keep two each:
		// one for each family.
		reserve := func(name, last4, last6 string) keys {
			return keys{
				"name": name, "public_key": newProgram(b.network.server, "client", name).public,
				"address4": "10.8.0." + last4, "address6": "fd4d:4c::" + last6,
			}
		}
		list := append(b.server.config["clients"].([]keys), reserve("absent-1", "2", "3"), reserve("absent-2", "4", "5"))
		b.server.set(keys{"clients": list, "addresses": keys{"pool4": "10.8.0.0/29"}})
		expectTurnedAway(b, "the address pool is used up")
	})

	It("says that it has as many clients as it may have", func() {
		b := newBench(2, 1)
		b.server.set(keys{"max_clients": 1})
		expectTurnedAway(b, "max_clients")
	})
})

// expectTurnedAway expects that the second client gets in only when the first
// one has left, and that both ends say why.
func expectTurnedAway(b *bench, why string) {
	GinkgoHelper()
	first, second := b.clients[0], b.clients[1]
	b.server.start()
	b.server.waitUp(0)
	first.start()
	first.waitUp(1)
	second.start()
	Eventually(func(g Gomega) {
		s := second.status()
		g.Expect(s.State).NotTo(Equal("up"))
		g.Expect(s.link("wan0").LastError).To(ContainSubstring(why))
	}).Should(Succeed())
	Expect(second.log()).To(ContainSubstring(why))
	Expect(b.server.log()).To(And(ContainSubstring(why), ContainSubstring(second.public)))
	Expect(first.status().State).To(Equal("up"))
	first.stop()
	second.waitUp(1)
}
