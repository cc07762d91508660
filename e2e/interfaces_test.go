package e2e

import (
	"io"
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
)

var _ = Describe("The client's interfaces", func() {
	var (
		b      *bench
		client *program
	)
	BeforeEach(func() {
		b = newBench(1, 2)
		client = b.clients[0]
	})
	start := func(interfaces keys, links int) {
		GinkgoHelper()
		client.set(keys{"interfaces": interfaces})
		b.links = links
		b.start()
	}

	DescribeTable("are chosen by lists of names",
		func(interfaces keys, used, left, reason string) {
			start(interfaces, 1)
			s := client.status()
			Expect(s.linkNames()).To(ConsistOf(used))
			Expect(s.Rejected).To(HaveKeyWithValue(left, ContainSubstring(reason)))
		},
		Entry("allow", keys{"allow": []string{"wan1"}}, "wan1", "wan0", "not in the allow list"),
		Entry("deny", keys{"deny": []string{"*0"}}, "wan1", "wan0", `denied by "*0"`),
	)

	It("are left out by themselves when they belong to containers", func() {
		// As container engines make them: bridges with an address, whose
		// members lead into containers. And one that is known by its kind alone.
		bridges := map[string]string{"docker0": "172.17.0.1/16", "br-0a1b2c3d4e5f": "172.18.0.1/16", "inside": "172.19.0.1/16"}
		for bridge, address := range bridges {
			client.on.add(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridge, TxQLen: -1}})
			client.on.address(bridge, address)
			client.on.up(bridge)
		}
		container := newMachine(b.folder, "container")
		for end, bridge := range map[string]string{"veth1a2b3c4": "docker0", "veth5d6e7f8": "inside"} {
			client.on.cable(end, container, end)
			Expect(client.on.nl.LinkSetMaster(client.on.link(end), client.on.link(bridge))).To(Succeed())
			client.on.waitUp(bridge)
		}
		client.on.defaultRoutes("docker0", 500, "172.17.0.2")
		client.on.defaultRoutes("inside", 501, "172.19.0.2")

		start(keys{}, 2)
		s := client.status()
		Expect(s.linkNames()).To(ConsistOf("wan0", "wan1"))
		for name, reason := range map[string]string{
			"docker0": "bridge", "inside": "bridge", "br-0a1b2c3d4e5f": "bridge",
			"veth1a2b3c4": "", "veth5d6e7f8": "", "lo": "loopback", "multilink0": "the tunnel itself",
		} {
			Expect(s.Rejected).To(HaveKeyWithValue(name, ContainSubstring(reason)))
		}
	})

	It("may change their address while a connection lives", func() {
		start(keys{}, 2)
		echo := openEcho(client.on, b.router)
		session := client.status().Session.ID
		for _, network := range []string{"10.200.0.", "10.201.0."} { // the second change is one from a changed address
			device, port := "wan0", "c0l0"
			b.router.address(port, network+"1/24")
			client.on.address(device, network+"2/24")
			old := client.status().link(device).Address
			client.on.removeAddress(device, withoutPort(old)+"/24")
			client.on.defaultRoutes(device, 100, network+"1")
			Eventually(func(g Gomega) {
				l := client.status().link(device)
				g.Expect(l.State).To(Equal("up"), l.LastError)
				g.Expect(withoutPort(l.Address)).To(Equal(network + "2"))
			}).Should(Succeed())
			echo.expectAnswer()
		}
		Expect(client.status().Session.ID).To(Equal(session))
	})

	It("may get another name while a connection lives", func() {
		start(keys{}, 2)
		echo := openEcho(client.on, b.router)
		client.on.down("wan1")
		suite.devices["lte0"] = true
		Expect(client.on.nl.LinkSetName(client.on.link("wan1"), "lte0")).To(Succeed())
		client.on.up("lte0")
		client.on.waitUp("lte0")
		client.on.defaultRoutes("lte0", 101, linkNetwork(0, 1)+"1")
		Eventually(func() []string { return client.status().linkNames() }).Should(ConsistOf("wan0", "lte0"))
		echo.expectAnswer()
	})

	It("may go and come, the last one too, while a connection lives", func() {
		start(keys{}, 2)
		echo := openEcho(client.on, b.router)
		for l, device := range []string{"wan0", "wan1"} {
			Expect(client.on.nl.LinkDel(client.on.link(device))).To(Succeed())
			Eventually(func() []string { return client.status().linkNames() }).ShouldNot(ContainElement(device))
			if l == 0 {
				echo.expectAnswer()
			}
		}
		Expect(client.status().State).To(Equal("no-link"))
		for l, device := range []string{"wan0", "wan1"} {
			b.connect(0, l, device)
		}
		Eventually(func() []string { return client.status().linkNames() }).Should(ConsistOf("wan0", "wan1"))
		echo.expectAnswer()
	})

	It("are waited for when there is none at the start", func() {
		for _, device := range []string{"wan0", "wan1"} {
			client.on.down(device)
		}
		b.server.start()
		b.server.waitUp(0)
		client.start()
		Eventually(func() status { return client.status() }).Should(And(
			HaveField("State", "connecting"), HaveField("Reason", ContainSubstring("no usable interface"))))
		client.on.up("wan0")
		client.on.defaultRoutes("wan0", 100, linkNetwork(0, 0)+"1")
		client.waitUp(1)
	})
})

func withoutPort(address string) string {
	GinkgoHelper()
	host, _, err := net.SplitHostPort(address)
	Expect(err).NotTo(HaveOccurred())
	return host
}

// echo is a TCP connection through the tunnel whose far end sends back what it
// gets.
type echo struct{ conn net.Conn }

// openEcho connects a client's machine to the host of the router.
func openEcho(from, router *machine) *echo {
	GinkgoHelper()
	const port = "7009"
	var listener net.Listener
	router.do(func() (err error) {
		listener, err = net.Listen("tcp", net.JoinHostPort(host4, port))
		return err
	})
	go func() {
		defer listener.Close()
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	DeferCleanup(func() { listener.Close() })
	conn, err := from.dial(net.JoinHostPort(host4, port), socketOptions{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { conn.Close() })
	e := &echo{conn}
	e.expectAnswer()
	return e
}

// expectAnswer sends a line, and waits for it to come back.
func (e *echo) expectAnswer() {
	GinkgoHelper()
	line := randomHex(8)
	_, err := io.WriteString(e.conn, line)
	Expect(err).NotTo(HaveOccurred())
	Expect(e.conn.SetReadDeadline(deadline())).To(Succeed())
	got := make([]byte, len(line))
	_, err = io.ReadFull(e.conn, got)
	Expect(err).NotTo(HaveOccurred(), "the connection did not survive")
	Expect(string(got)).To(Equal(line))
}
