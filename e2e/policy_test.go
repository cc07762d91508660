package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

var _ = Describe("The use of links", func() {
	var (
		b      *bench
		client *program
	)
	BeforeEach(func() {
		b = newBench(1, 2)
		client = b.clients[0]
		client.set(keys{"usage_file": client.path("usage.json")})
	})
	// ask runs `multilink link ...` for the client and returns what it prints.
	ask := func(args ...string) string {
		GinkgoHelper()
		status, out := client.on.multilink(append([]string{"link", "--socket", client.socket()}, args...)...)
		Expect(status).To(BeZero(), out)
		return out
	}
	// carried is how much wan1 has carried in both directions, in bytes.
	carried := func() uint64 {
		GinkgoHelper()
		n := client.on.link("wan1").Attrs().Statistics
		return n.RxBytes + n.TxBytes
	}

	It("can be changed while a connection lives", func() {
		client.set(keys{"links": []keys{{"name": "wan1", "role": "backup"}}})
		b.start()
		echo := openEcho(client.on, b.router)
		roles := func() map[string]string {
			m := map[string]string{}
			for _, c := range b.server.status().Clients {
				for _, l := range c.Links {
					m[l.Name] = l.Role
				}
			}
			return m
		}
		Eventually(roles).Should(Equal(map[string]string{"wan0": "active", "wan1": "backup"}))
		before := carried()
		transfer(client.on, b.router, host4, 5_000_000)
		Expect(carried()-before).To(BeNumerically("<", 100_000), "a backup beside an active link")

		Expect(ask("set", "wan0", "off")).To(MatchRegexp(`wan0 +off`))
		before = carried()
		transfer(client.on, b.router, host4, 5_000_000)
		Expect(carried()-before).To(BeNumerically(">", 10_000_000), "the backup while the active link is off")
		Expect(client.status().Rejected).To(HaveKeyWithValue("wan0", ContainSubstring("is off")))

		ask("set", "wan0", "active")
		ask("set", "wan1", "off")
		Eventually(func() []string { return client.status().linkNames() }).Should(Equal([]string{"wan0"}))
		before = carried()
		transfer(client.on, b.router, host4, 1_000_000)
		Expect(carried()-before).To(BeNumerically("<", 5_000), "a link that is off")

		ask("set", "wan1", "active", "--cap-down", "8 Mbit/s")
		client.waitUp(2)
		Eventually(roles).Should(Equal(map[string]string{"wan0": "active", "wan1": "active"}))
		Expect(ask("list")).To(MatchRegexp(`wan1 +active +up +none +8 Mbit/s`))
		echo.expectAnswer()
	})

	It("ends with the quota, also over a restart", func() {
		// wan1 carries all while it may: in which parts two links without a
		// limit carry a short transfer is up to the machine.
		client.set(keys{"links": []keys{{"name": "wan0", "role": "backup"}, {"name": "wan1", "quota": "2 MB"}}})
		b.start()
		usedUp := func() string { return client.status().Rejected["wan1"] }
		transfer(client.on, b.router, host4, 20_000_000)
		Eventually(usedUp).Should(ContainSubstring("its quota of 2 MB is used up until"))
		client.stop()
		client.start()
		client.waitUp(1)
		Expect(usedUp()).To(ContainSubstring("its quota of 2 MB is used up until"))
		ask("set", "wan1", "--reset-usage")
		client.waitUp(2)
	})

	It("is told as it changes", func() {
		b.start()
		follow := func(p *program) func() []string {
			GinkgoHelper()
			file := p.path("events.jsonl")
			out, err := os.Create(file)
			Expect(err).NotTo(HaveOccurred())
			defer out.Close()
			cmd := exec.Command(filepath.Join(suite.bin, "multilink"), "monitor", "--json", "--socket", p.socket())
			cmd.Stdout = out
			p.on.start(cmd)
			DeferCleanup(func() {
				Expect(tellToEnd(cmd, unix.SIGTERM)).To(Succeed())
			})
			return func() (list []string) {
				text, err := os.ReadFile(file)
				Expect(err).NotTo(HaveOccurred())
				for line := range strings.Lines(string(text)) {
					var ev struct{ Event, Link string }
					Expect(json.Unmarshal([]byte(line), &ev)).To(Succeed(), line)
					list = append(list, strings.TrimSpace(ev.Event+" "+ev.Link))
				}
				return list
			}
		}
		at, there := follow(client), follow(b.server)
		// A reader has to be there before what it is to read of.
		Eventually(func() string {
			ask("set", "wan1", "backup")
			ask("set", "wan1", "active")
			return strings.Join(at(), ",")
		}).Should(ContainSubstring("role-changed wan1"))
		client.on.down("wan1")
		Eventually(at).Should(ContainElements("link-gone wan1"))
		Eventually(there).Should(ContainElements("link-down wan1"))
		client.on.up("wan1")
		client.on.defaultRoutes("wan1", 101, linkNetwork(0, 1)+"1")
		Eventually(at).Should(ContainElements("link-found wan1", "link-up wan1", "link-ready wan1"))
		Eventually(there).Should(ContainElements("link-up wan1"))
	})
})
