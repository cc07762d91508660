package e2e

import (
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// clientMark is the product's default mark of its own packets.
const clientMark = 0x4d4c

var _ = Describe("The user's own routes", func() {
	var (
		b  *bench
		me *machine
	)
	BeforeEach(func() {
		b = newBench(1, 2)
		b.router.mirror()
		me = b.clients[0].on
	})
	seen := func(host string, o socketOptions) string {
		GinkgoHelper()
		from, err := me.seenAs(host, o)
		Expect(err).NotTo(HaveOccurred(), "to %s", host)
		return from
	}

	It("are left as they are and hold beside the tunnel", func() {
		const table = 100
		me.route(farHost+"/32", linkNetwork(0, 1)+"1", "wan1", unix.RT_TABLE_MAIN, 0)
		me.route("0.0.0.0/0", linkNetwork(0, 1)+"1", "wan1", table, 0)
		rule := netlink.NewRule()
		rule.Family, rule.Table, rule.Priority = unix.AF_INET, table, 1000
		rule.Src = ipNet(netip.PrefixFrom(netip.MustParseAddr(linkAddress(0, 1)), 32))
		Expect(me.nl.RuleAdd(rule)).To(Succeed())
		me.do(func() error {
			conn, err := nftables.New()
			if err != nil {
				return err
			}
			own := conn.AddTable(&nftables.Table{Name: "mine", Family: nftables.TableFamilyINet})
			chain := conn.AddChain(&nftables.Chain{Name: "out", Table: own, Type: nftables.ChainTypeFilter,
				Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter})
			conn.AddRule(&nftables.Rule{Table: own, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}})
			return conn.Flush()
		})
		before := me.settings()
		b.start()

		missing, _ := differences(before, me.settings())
		Expect(of(missing, "route", "rule", "address", "interface", "nftables")).To(BeEmpty())
		Expect(seen(host4, socketOptions{})).To(Equal(serverAddress), "through the tunnel")
		Expect(seen(farHost, socketOptions{})).To(Equal(linkAddress(0, 1)), "by the user's route")
		Expect(seen(linkNetwork(0, 0)+"1", socketOptions{})).To(Equal(linkAddress(0, 0)), "on the local network")
		b.clients[0].stop()
		me.expectSettings(before)
	})

	It("lead marked sockets past the tunnel", func() {
		b.start()
		Expect(seen(host4, socketOptions{})).To(Equal(serverAddress))
		Expect(seen(host4, socketOptions{mark: clientMark})).To(Equal(linkAddress(0, 0)))
		Expect(seen(host4, socketOptions{mark: clientMark, device: "wan1"})).To(Equal(linkAddress(0, 1)))
	})

	It("may be excluded from the tunnel", func() {
		b.clients[0].set(keys{"routes": keys{"exclude": []string{farHost + "/32"}}})
		b.start()
		Expect(seen(host4, socketOptions{})).To(Equal(serverAddress))
		Expect(seen(farHost, socketOptions{})).To(Equal(linkAddress(0, 0)))
	})

	It("may be the only ones but for some prefixes", func() {
		b.clients[0].set(keys{"routes": keys{"default": false, "include": []string{farHost + "/32"}}})
		b.start()
		Expect(seen(host4, socketOptions{})).To(Equal(linkAddress(0, 0)))
		Expect(seen(farHost, socketOptions{})).To(Equal(serverAddress))
	})

	It("do not lead past the tunnel under a kill switch while no link works", func() {
		b.clients[0].set(keys{"kill_switch": true})
		b.start()
		Expect(seen(host4, socketOptions{})).To(Equal(serverAddress))
		b.server.kill()
		Eventually(func() string { return b.clients[0].status().State }).ShouldNot(Equal("up"))
		for _, device := range []string{"", "wan0", "wan1"} {
			_, err := me.dial(net.JoinHostPort(host4, mirrorPort), socketOptions{device: device})
			Expect(err).To(HaveOccurred(), "over %q", device)
		}
	})

	It("do not lead past the tunnel under a kill switch before there is a session", func() {
		client := b.clients[0]
		client.set(keys{"kill_switch": true})
		leaks := func() bool {
			_, err := me.dial(net.JoinHostPort(host4, mirrorPort), socketOptions{})
			return err == nil
		}
		Expect(leaks()).To(BeTrue(), "the spec shows nothing: the host cannot be reached without a client")
		client.start()
		Eventually(func() string { return client.status().State }).Should(Equal("connecting"))
		Expect(leaks()).To(BeFalse(), "while no server answers")
		client.kill()
		Expect(leaks()).To(BeFalse(), "after a kill")
		client.start()
		b.server.start()
		client.waitUp(2)
		Expect(seen(host4, socketOptions{})).To(Equal(serverAddress))
		client.stop()
		Expect(leaks()).To(BeTrue(), "after the end")
	})
})
