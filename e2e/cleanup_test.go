package e2e

import (
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// promptly is how soon a program has to end when it is told to.
const promptly = 5 * time.Second

var _ = Describe("What a program leaves on its machine", func() {
	var (
		b      *bench
		client *program
		before []string
	)
	// The client changes all that it can change: the resolver, too.
	start := func(more keys) {
		GinkgoHelper()
		b = newBench(1, 2)
		b.router.mirror()
		client = b.clients[0]
		client.on.nameserver(resolver)
		b.server.set(keys{"dns": []string{host4}})
		delete(client.config, "dns")
		client.set(more)
		before = client.on.settings()
		b.start()
		Expect(of(client.on.settings(), "resolv.conf")).To(ContainElement(ContainSubstring(host4)))
	}
	expectNothing := func(p *program, before []string) {
		GinkgoHelper()
		p.on.expectSettings(before)
		Expect(p.socket()).NotTo(BeAnExistingFile())
	}
	endAndLook := func(p *program, before []string, signal unix.Signal) {
		GinkgoHelper()
		told := time.Now()
		Expect(p.end(signal)).To(BeZero(), "exit status")
		Expect(time.Since(told)).To(BeNumerically("<", promptly))
		expectNothing(p, before)
	}

	DescribeTable("a client that is told to end leaves nothing",
		func(signal unix.Signal, killSwitch bool) {
			start(keys{"kill_switch": killSwitch})
			endAndLook(client, before, signal)
		},
		Entry("by ctrl-C", unix.SIGINT, false),
		Entry("by TERM", unix.SIGTERM, false),
		Entry("by TERM, with a kill switch", unix.SIGTERM, true),
	)

	DescribeTable("a client that was killed leaves nothing that is not cleaned up",
		func(killSwitch bool) {
			start(keys{"kill_switch": killSwitch})
			client.kill()
			left, _ := differences(client.on.settings(), before)
			Expect(of(left, "rule")).NotTo(BeEmpty(), "the spec shows nothing: the killed client left no rule")
			_, err := client.on.seenAs(host4, socketOptions{})
			if killSwitch {
				Expect(err).To(HaveOccurred(), "the kill switch does not hold")
			}

			By("multilink cleanup")
			Expect(client.cleanUp()).To(ContainSubstring("nftables"))
			expectNothing(client, before)
			Expect(client.on.seenAs(host4, socketOptions{})).To(Equal(linkAddress(0, 0)))
			Expect(client.cleanUp()).To(ContainSubstring("nothing to clean up"))

			By("killed again, then started and stopped")
			client.start()
			client.waitUp(2)
			client.kill()
			client.start()
			client.waitUp(2)
			Expect(client.on.seenAs(host4, socketOptions{})).To(Equal(serverAddress))
			client.stop()
			expectNothing(client, before)
		},
		Entry("without a kill switch", false),
		Entry("with one", true),
	)

	It("cleanup lets a running client be", func() {
		start(nil)
		during := client.on.settings()
		Expect(client.cleanUp()).To(ContainSubstring("nothing to clean up"))
		client.on.expectSettings(during)
		Expect(client.on.seenAs(host4, socketOptions{})).To(Equal(serverAddress))
	})

	DescribeTable("a client that is told to end before the server answers leaves nothing",
		func(signal unix.Signal) {
			n := newNetwork(1, 2)
			m := n.clients[0]
			c := newClient(m, "client")
			c.set(keys{"server": silentAddress, "server_key": newProgram(m, "server", "unused").public, "kill_switch": true})
			before := m.settings()
			c.start()
			Eventually(func() string { return c.status().State }).Should(Equal("connecting"))
			endAndLook(c, before, signal)
		},
		Entry("by ctrl-C", unix.SIGINT),
		Entry("by TERM", unix.SIGTERM),
	)

	It("a client that is told to end as soon as it runs leaves nothing", func() {
		b := newBench(1, 1)
		client := b.clients[0]
		b.server.start()
		b.server.waitUp(0)
		before := client.on.settings()
		client.start()
		// The first thing it makes; from here on it listens to signals.
		Eventually(func() error {
			_, err := os.Stat(client.socket())
			return err
		}).WithPolling(time.Millisecond).Should(Succeed())
		endAndLook(client, before, unix.SIGINT)
	})

	Describe("of a server", func() {
		var server *program
		BeforeEach(func() {
			b = newBench(1, 1)
			server = b.server
			before = server.on.settings()
			b.start()
			during, _ := differences(server.on.settings(), before)
			Expect(of(during, "sysctl", "nftables")).NotTo(BeEmpty(), "the spec shows nothing: the server changed nothing")
		})

		DescribeTable("that is told to end: nothing",
			func(signal unix.Signal) { endAndLook(server, before, signal) },
			Entry("by ctrl-C", unix.SIGINT),
			Entry("by TERM", unix.SIGTERM),
		)

		It("that was killed: nothing that is not cleaned up", func() {
			server.kill()
			Expect(server.cleanUp()).To(ContainSubstring("nftables"))
			expectNothing(server, before)
			server.start()
			server.waitUp(0)
			server.kill()
			server.start()
			server.waitUp(0)
			server.stop()
			expectNothing(server, before)
		})
	})
})
