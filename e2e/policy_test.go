package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
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
				_ = cmd.Process.Signal(unix.SIGTERM)
				Expect(cmd.Wait()).To(Succeed())
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

	// A flapping link costs no more than itself: after it nothing has grown.
	It("survives a link that comes and goes ten times a second", Label("full"), func() {
		const (
			metricsPort = 9410
			flapping    = 60 * time.Second
			period      = 100 * time.Millisecond
		)
		for _, p := range []*program{client, b.server} {
			p.set(keys{"metrics": keys{"listen": fmt.Sprintf(":%d", metricsPort)}})
		}
		b.start()
		echo := openEcho(client.on, b.router)
		wan1 := client.on.link("wan1")
		flap := func(d time.Duration) {
			GinkgoHelper()
			for end := time.Now().Add(d); time.Now().Before(end); {
				Expect(client.on.nl.LinkSetDown(wan1)).To(Succeed())
				time.Sleep(period / 2)
				Expect(client.on.nl.LinkSetUp(wan1)).To(Succeed())
				Expect(client.on.nl.RouteReplace(&netlink.Route{
					LinkIndex: wan1.Attrs().Index, Priority: 101, Gw: net.ParseIP(linkNetwork(0, 1) + "1"),
				})).To(Succeed())
				time.Sleep(period / 2)
			}
			client.waitUp(2)
			echo.expectAnswer()
		}
		measure := func(p *program) map[string]float64 {
			GinkgoHelper()
			return p.metrics(metricsPort, "go_goroutines", "process_open_fds", "process_resident_memory_bytes", "multilink_link_failures_total")
		}
		flap(flapping / 6) // what is made once is there now
		before := [2]map[string]float64{measure(client), measure(b.server)}
		flap(flapping)
		for i, p := range []*program{client, b.server} {
			var now map[string]float64
			Eventually(func(g Gomega) {
				now = measure(p)
				g.Expect(now["go_goroutines"]).To(BeNumerically("<=", before[i]["go_goroutines"]+5))
				g.Expect(now["process_open_fds"]).To(BeNumerically("<=", before[i]["process_open_fds"]+5))
				g.Expect(now["process_resident_memory_bytes"]).To(BeNumerically("<=", 1.5*before[i]["process_resident_memory_bytes"]))
			}).Should(Succeed(), "%s, from %v", p.name, before[i])
			AddReportEntry(p.name, fmt.Sprintf("before %v, after %v", before[i], now))
		}
	})
})

// metrics reads some of a program's metrics that have no labels.
func (p *program) metrics(port int, names ...string) map[string]float64 {
	GinkgoHelper()
	conn, err := p.on.dial(fmt.Sprintf("127.0.0.1:%d", port), socketOptions{})
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET /metrics HTTP/1.0\r\n\r\n")
	Expect(err).NotTo(HaveOccurred())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if slices.Contains(names, name) {
			found[name], err = strconv.ParseFloat(value, 64)
			Expect(err).NotTo(HaveOccurred())
		}
	}
	return found
}
