package e2e

import (
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// qosRules is what the specs read of `multilink qos list --json`.
type qosRules struct {
	Mode string
	List []struct {
		Address, Port, Protocol, Latency string
		Priority, Packets                int
	}
}

// ports are those of the rules, in order.
func (q qosRules) ports() string {
	var list []string
	for _, r := range q.List {
		list = append(list, r.Port)
	}
	return strings.Join(list, " ")
}

var _ = Describe("The rules of priority and latency", func() {
	var (
		b      *bench
		client *program
	)
	BeforeEach(func() {
		b = newBench(1, 2)
		client = b.clients[0]
		client.set(keys{"qos": keys{"rule": []keys{{"port": 22, "latency": "low"}}}})
		b.start()
	})
	// ask runs `multilink qos ...` for the client.
	ask := func(args ...string) (status int, out string) {
		GinkgoHelper()
		return client.on.multilink(append([]string{"qos", args[0], "--socket", client.socket()}, args[1:]...)...)
	}
	change := func(args ...string) {
		GinkgoHelper()
		status, out := ask(args...)
		Expect(status).To(BeZero(), out)
	}
	rules := func() (q qosRules) {
		GinkgoHelper()
		status, out := ask("list", "--json")
		Expect(status).To(BeZero(), out)
		Expect(json.Unmarshal([]byte(out), &q)).To(Succeed(), out)
		return q
	}
	// expectRules expects rules of these ports at the client, and as many in
	// force at both ends.
	expectRules := func(ports string) {
		GinkgoHelper()
		Expect(rules().ports()).To(Equal(ports))
		number := len(strings.Fields(ports))
		Eventually(func(g Gomega) {
			there := b.server.status().Clients
			g.Expect(there).To(HaveLen(1))
			g.Expect(there[0].QoS.Rules).To(Equal(number), "at the server")
			here := client.status().Session
			g.Expect(here).NotTo(BeNil())
			g.Expect(here.QoS.Rules).To(Equal(number), "at the client")
			g.Expect(here.QoS.Mode).To(Equal("queue"))
		}).Should(Succeed())
	}

	It("can be changed while a connection lives", func() {
		expectRules("22")
		echo := openEcho(client.on, b.router)
		change("add", "--address", host4, "--port", "7009", "--protocol", "tcp", "--priority", "1", "--at", "1")
		expectRules("7009 22")
		echo.expectAnswer()
		Eventually(func() int { return rules().List[0].Packets }).Should(BeNumerically(">", 0), "packets of the connection")
		Expect(rules().List[0].Priority).To(Equal(1))
		Expect(rules().List[1].Latency).To(Equal("low"))

		change("remove", "2")
		expectRules("7009")
		client.set(keys{"qos": keys{"rule": []keys{{"port": 443, "priority": 2}, {"port": "5000-5999", "latency": "low"}}}})
		client.reload()
		Eventually(func() string { return rules().ports() }).Should(Equal("443 5000-5999"), "those of the file instead of those of commands")
		expectRules("443 5000-5999")
		change("remove", "1")
		change("remove", "1")
		expectRules("")
		echo.expectAnswer()
	})

	It("are refused when one can never match", func() {
		change("add", "--port", "443", "--priority", "1")
		expectRules("22 443")
		for _, c := range []struct {
			args   []string
			status int
			want   string
		}{
			{[]string{"add", "--port", "443", "--protocol", "icmp", "--priority", "1"}, 2, `--port "443": can never match: protocol icmp has no ports`},
			{[]string{"add", "--port", "443", "--protocol", "tcp", "--priority", "2"}, 1, "rule 3: can never match: rule 2 (port 443: priority 1) takes all its packets first"},
			{[]string{"add", "--port", "443", "--priority", "2"}, 1, "rule 3: contradicts rule 2 (port 443: priority 1)"},
			{[]string{"add", "--port", "80", "--priority", "2", "--at", "9"}, 1, "there is no place 9 for a rule: must be 1..3"},
			{[]string{"remove", "3"}, 1, "there is no rule 3: there are 2"},
		} {
			status, out := ask(c.args...)
			Expect(status).To(Equal(c.status), "%v: %s", c.args, out)
			Expect(out).To(ContainSubstring(c.want), "%v", c.args)
		}
		expectRules("22 443")

		client.set(keys{"qos": keys{"rule": []keys{{"priority": 1}, {"port": 443, "priority": 1}}}})
		client.reload()
		Eventually(client.log).Should(And(
			ContainSubstring("the configuration was not changed"),
			MatchRegexp(`config\.toml:\d+:\d+: qos rule 2: can never match: rule 1 \(everything: priority 1\) takes all its packets first`),
		))
		expectRules("22 443")
	})
})
