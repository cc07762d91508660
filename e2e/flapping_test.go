package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

// flapEvery is from one fall of a flapping link to the next.
const flapEvery = 100 * time.Millisecond

// A flapping link costs no more than itself: after it nothing has grown.
var _ = DescribeTable("A link that flaps ten times a second beside a steady one leaves memory, goroutines and descriptors as they were",
	func(fall, rise func(*bench), warmup, flapping time.Duration) {
		const metricsPort = 9410
		b := newBench(1, 2)
		client := b.clients[0]
		for _, p := range []*program{client, b.server} {
			p.set(keys{"metrics": keys{"listen": fmt.Sprintf(":%d", metricsPort)}})
		}
		client.set(keys{"log": keys{"level": "debug"}}) // which has every fall
		b.start()
		echo := openEcho(client.on, b.router)
		flap := func(d time.Duration) {
			GinkgoHelper()
			sent := b.load(d)
			for end := time.Now().Add(d); time.Now().Before(end); {
				fall(b)
				time.Sleep(flapEvery / 2)
				rise(b)
				time.Sleep(flapEvery / 2)
			}
			client.waitUp(2)
			echo.expectAnswer()
			Expect(<-sent).To(Succeed())
		}
		measure := func(p *program) map[string]float64 {
			GinkgoHelper()
			return p.metrics(metricsPort, "go_goroutines", "process_open_fds", "process_resident_memory_bytes")
		}
		falls := func() int { return len(fallOfWan1.FindAllString(client.log(), -1)) }
		flap(warmup) // what is made once is there now
		before, fallen := [2]map[string]float64{measure(client), measure(b.server)}, falls()
		flap(flapping)
		Expect(falls()).To(BeNumerically(">", fallen), "the client has not noticed that the link falls")
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
	},
	Entry("its carrier, for ten seconds", unplug, plug, 5*time.Second, 10*time.Second),
	Entry("silently, for ten seconds", silence, restore, 5*time.Second, 10*time.Second),
	Entry("its carrier, for a minute", unplug, plug, 10*time.Second, time.Minute, Label("full")),
	Entry("silently, for a minute", silence, restore, 10*time.Second, time.Minute, Label("full")),
)

// fallOfWan1 is how the client's log tells that wan1 is taken away, or is silent.
var fallOfWan1 = regexp.MustCompile(`msg="link (?:gone|down|suspect|silent)".* link=wan1\b`)

// unplug and plug take away and give back what wan1 of the client has.
func unplug(b *bench) { b.clients[0].on.down("wan1") }

func plug(b *bench) {
	GinkgoHelper()
	m := b.clients[0].on
	wan1 := m.link("wan1")
	Expect(m.nl.LinkSetUp(wan1)).To(Succeed())
	Expect(m.nl.RouteReplace(&netlink.Route{
		LinkIndex: wan1.Attrs().Index, Priority: 101, Gw: net.ParseIP(linkNetwork(0, 1) + "1"),
	})).To(Succeed())
}

// silence and restore make the router lose what crosses wan1 of the client, and
// carry it again.
func silence(b *bench) {
	GinkgoHelper()
	for _, r := range silent() {
		Expect(b.router.nl.RuleAdd(r)).To(Succeed())
	}
}

func restore(b *bench) {
	GinkgoHelper()
	for _, r := range silent() {
		Expect(b.router.nl.RuleDel(r)).To(Succeed())
	}
}

// silent are the rules (ip-rule(8)) by which the router loses what comes from and
// goes to wan1 of the client.
func silent() []*netlink.Rule {
	from, to := netlink.NewRule(), netlink.NewRule()
	from.IifName = "c0l1"
	to.Dst = ipNet(netip.PrefixFrom(netip.MustParseAddr(linkAddress(0, 1)), 32))
	for i, r := range []*netlink.Rule{from, to} {
		r.Family, r.Type, r.Priority = unix.AF_INET, unix.FR_ACT_BLACKHOLE, 1+i
	}
	return []*netlink.Rule{from, to}
}

// load sends datagrams through the tunnel, both ways, for some time. What is sent
// on the channel is whether that could be done.
func (b *bench) load(d time.Duration) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := traffic.Run(context.Background(), traffic.Job{
			Traffic: scenario.Traffic{Name: "load", Kind: "udp", Direction: "both", Rate: 8e6, Packet: 1200},
			Client:  traffic.End{NS: b.clients[0].on.ns},
			Host:    traffic.End{NS: b.router.ns, Addr: netip.MustParseAddr(farHost)},
			Origin:  time.Now(), Until: d, Seed: 1,
		})
		done <- err
	}()
	return done
}

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
