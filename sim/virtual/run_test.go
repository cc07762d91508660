package virtual

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/sim/report"
)

// everything has every kind of traffic and every impairment.
const everything = `
name: everything
warmup: 1s
duration: 4s
links:
  - {name: a, both: {rate: 8mbit, delay: 10ms, jitter: 3ms, distribution: normal, loss: 0.5%, corrupt: 0.1%, duplicate: 0.2%}}
  - {name: b, down: {rate: 5mbit, delay: 30ms, loss: {p: 1%, r: 30%}}, up: {rate: 4mbit, delay: 20ms, reorder: 1%}}
  - {name: c, both: {rate: 4mbit, delay: 15ms}}
bottlenecks:
  - {name: street, links: [a, b], both: {rate: 10mbit, delay: 2ms, queue: 50ms}}
client: {scheduler: wrr, reorder: global}
traffic:
  - {name: dl, kind: tcp, direction: both, streams: 2, duration: 4s}
  - {name: six, kind: tcp, direction: up, size: 300kB, ip: 6, to: 2}
  - {name: voice, kind: udp, direction: both, rate: 500kbit, packet: 400, duration: 4s}
  - {name: call, kind: rtp, codec: opus, duration: 4s}
  - {name: listen, kind: rtp, direction: down, ip: 6, to: 2, duration: 4s}
  - {name: callpast, kind: rtp, via: "link:a", duration: 4s}
  - {name: big, kind: udp, rate: 1mbit, packet: 6000, ip: 6, start: 1s, duration: 2s}
  - {name: ping, kind: ping, interval: 20ms, duration: 4s}
  - {name: ping6, kind: ping, interval: 50ms, duration: 4s, ip: 6, to: 2}
  - {name: web, kind: http, size: 100kB, count: 3, start: 500ms}
  - {name: names, kind: dns, interval: 50ms, duration: 3s}
  - {name: past, kind: tcp, via: "link:a", duration: 3s}
  - {name: pastping, kind: ping, via: "link:b", duration: 3s}
timeline:
  - {at: 1s, link: b, do: blackhole, direction: down}
  - {at: 1500ms, link: b, do: restore}
  - {at: 2s, link: c, do: unplug}
  - {at: 2200ms, link: a, do: rebind}
  - {at: 2500ms, link: c, do: plug}
  - {at: 3s, link: a, do: set, up: {rate: 4mbit}}
`

// hashOf runs a scenario and returns the hash of all its packets, contents
// included, and its result as JSON.
func hashOf(t *testing.T, text string, seed uint64) (packets uint64, result string) {
	t.Helper()
	h := fnv.New64a()
	r, err := Run(context.Background(), parse(t, text), Options{Seed: &seed, Observe: func(p Packet) {
		line, _ := json.Marshal(p)
		h.Write(line)
	}})
	if err != nil {
		t.Fatal(err)
	}
	r.Seconds = 0
	var out strings.Builder
	if err := report.WriteJSON(&out, []*report.Result{r}); err != nil {
		t.Fatal(err)
	}
	return h.Sum64(), out.String()
}

func TestRunsRepeat(t *testing.T) {
	packets, result := hashOf(t, everything, 7)
	again, resultAgain := hashOf(t, everything, 7)
	if packets != again {
		t.Errorf("the packets hash to %x and %x", packets, again)
	}
	if result != resultAgain {
		t.Errorf("two results of one seed:\n%s\n%s", result, resultAgain)
	}
	if other, _ := hashOf(t, everything, 8); other == packets {
		t.Error("another seed gives the same packets")
	}
}

func TestEveryKindMeasures(t *testing.T) {
	r := runText(t, everything)
	m := r.Measurements
	for _, path := range []string{
		"dl.down.goodput", "dl.up.goodput", "dl.down.bytes", "six.fct.p50", "six.goodput", "voice.up.goodput",
		"voice.down.delay.p95", "big.goodput", "call.down.sent", "call.up.jitter", "call.down.mos", "call.up.reports",
		"listen.mos", "listen.reports", "callpast.down.delay.p50", "ping.rtt.p95", "ping6.rtt.min", "web.fct.p50", "web.goodput",
		"names.queries", "names.rtt.p50", "past.goodput", "pastping.rtt.avg",
		"link.a.down.bytes", "link.b.down.dropped", "link.c.down.queued_max", "client.session.counters.rx_packets",
		"client.links.a.srtt", "client.counters.tx_packets", "client.recovered_in", "capacity.down",
		"server.clients.client.links.b.tx_bytes", "server.counters.rx_packets",
	} {
		if v, ok := at(m, path).(float64); !ok || v <= 0 {
			t.Errorf("%s is %v", path, at(m, path))
		}
	}
	for _, path := range []string{"web.failed", "six.failed", "dl.down.failed", "past.failed"} {
		if v := at(m, path); v != 0.0 {
			t.Errorf("%s is %v", path, v)
		}
	}
	for _, path := range []string{"call.down.sent", "call.up.sent", "listen.sent", "callpast.up.sent"} {
		if v := at(m, path); v != 200.0 {
			t.Errorf("%s is %v", path, v)
		}
	}
	if v := at(m, "dl.down.cc"); v != "cubic" {
		t.Errorf("congestion control %v", v)
	}
	for _, name := range []string{"dl.down.goodput", "voice.up.goodput", "link.a.down.rate"} {
		if s := r.Series[name]; len(s.T) != len(s.V) || len(s.T) < 30 {
			t.Errorf("series %s has %d points", name, len(s.T))
		}
	}
	if r.Backend != "virtual" || r.Verdict != report.Pass {
		t.Errorf("%s: %s %s", r.Backend, r.Verdict, r.Reason)
	}
}

func at(m map[string]any, path string) any {
	var v any = m
	for _, part := range strings.Split(path, ".") {
		group, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = group[part]
	}
	return v
}

// TestBareLinkIsFilled checks the simulator itself: CUBIC over one link with a
// queue of one bandwidth-delay product fills it, as it does on Linux.
func TestBareLinkIsFilled(t *testing.T) {
	runText(t, `
name: bare
warmup: 3s
links: [{name: a, both: {rate: 10mbit, delay: 20ms, queue: 40ms}}]
traffic: [{name: dl, kind: tcp, via: "link:a", duration: 20s}]
expect:
  - dl.goodput >= 0.97 * 10e6 * 1448 / 1500
  - dl.goodput <= 10e6 * 1448 / 1500
  - dl.reordered == 0
  - link.a.down.dropped > 0
  - link.a.down.queued_max <= 50000
`)
}

// TestCopiesAreSpurious: what arrives a second time counts, past the tunnel; in
// the tunnel the links' copies end.
func TestCopiesAreSpurious(t *testing.T) {
	runText(t, `
name: copies
warmup: 1s
links: [{name: a, both: {rate: 10mbit, delay: 20ms, duplicate: 25%}}]
traffic:
  - {name: past, kind: tcp, via: "link:a", duration: 3s}
  - {name: web, kind: http, via: "link:a", size: 1MB, start: 3s}
  - {name: dl, kind: tcp, start: 6s, duration: 3s}
expect:
  - past.spurious > 0.15 and past.spurious < 0.25
  - web.spurious > 0.15 and web.spurious < 0.25
  - dl.spurious == 0
`)
}

func TestPingSeesTheDelays(t *testing.T) {
	for _, underlay := range []string{"4", "6"} {
		runText(t, `
name: ping
links: [{name: a, up: {rate: 10mbit, delay: 10ms}, down: {rate: 10mbit, delay: 25ms}}]
traffic:
  - {name: tunnel, kind: ping, duration: 3s}
  - {name: six, kind: ping, start: 20ms, duration: 3s, ip: 6}
  - {name: past, kind: ping, start: 50ms, duration: 3s, via: "link:a", ip: `+underlay+`}
expect:
  - past.rtt.min > 0.035 and past.rtt.max < 0.0355
  - tunnel.rtt.min > past.rtt.min and tunnel.rtt.min < past.rtt.min + 0.0002
  - six.rtt.min > past.rtt.min and six.rtt.min < past.rtt.min + 0.0002
  - tunnel.loss == 0 and past.loss == 0 and six.loss == 0
`, "underlay="+underlay)
	}
}

// TestOuterSizes compares what a link carries with what went in: an inner
// packet of 1028 bytes is a datagram of 1068, in 28 or 48 bytes more.
func TestOuterSizes(t *testing.T) {
	for underlay, headers := range map[string]string{"4": "28", "6": "48"} {
		runText(t, `
name: sizes
links: [{name: a, both: {rate: 100mbit, delay: 5ms}}]
traffic: [{name: u, kind: udp, direction: up, rate: 2mbit, packet: 1000, duration: 5s}]
expect:
  - u.loss == 0
  - link.a.up.bytes >= u.bytes / 1000 * (1068 + `+headers+`)
  - link.a.up.bytes <= u.bytes / 1000 * (1068 + `+headers+`) * 1.02
`, "underlay="+underlay)
	}
}

// TestCallOnACleanLink checks what a call measures where the figures are known.
func TestCallOnACleanLink(t *testing.T) {
	runText(t, `
name: call
links: [{name: a, down: {delay: 30ms, rate: 10mbit}, up: {delay: 50ms, rate: 10mbit}}]
# The tunnel's probes of the path MTU are over when the call starts.
traffic: [{name: c, kind: rtp, via: "link:a", start: 2s, duration: 10s}]
expect:
  - c.down.loss == 0 and c.up.loss == 0 and c.down.duplicates == 0 and c.up.late == 0
  - c.down.sent == 500 and c.up.sent == 500
  # 200 bytes of IP packet at 10 Mbit/s.
  - abs(c.down.delay.p50 - 0.03016) < 0.0001 and abs(c.up.delay.p99 - 0.05016) < 0.0001
  - c.down.jitter < 0.00002 and abs(c.down.stall - 0.03016) < 0.0001
  # 30 ms of path, 60 ms of buffer and 20 ms of frame: R = 93.2 - 0.024 * 110.
  - abs(c.down.mos - 4.352) < 0.002
  - c.down.reports == 2 and c.up.reports == 2
`)
}

func TestLinksComeAndGo(t *testing.T) {
	runText(t, `
name: come-and-go
warmup: 1s
links:
  - {name: a, both: {rate: 5mbit, delay: 10ms}}
  - {name: b, both: {rate: 5mbit, delay: 15ms}, present: false}
client: {scheduler: minrtt, reorder: global}
traffic: [{name: dl, kind: tcp, duration: 12s}]
timeline:
  - {at: 2s, link: b, do: plug}
  - {at: 4s, link: a, do: unplug}
  - {at: 6s, link: a, do: plug}
  - {at: 7s, link: b, do: down}
  - {at: 8s, link: b, do: up}
  - {at: 9s, link: a, do: readdress}
  - {at: 10s, link: b, do: rebind}
expect:
  - dl.failed == 0
  - dl.stall < 1
  - dl.goodput > 3e6
  - link.a.down.bytes > 1e6 and link.b.down.bytes > 1e6
  - server.counters.path_changes >= 2
  - client.recovered_in < 0.1
`)
}

func TestBlackholeIsSurvived(t *testing.T) {
	runText(t, `
name: blackhole
links:
  - {name: a, both: {rate: 5mbit, delay: 10ms}}
  - {name: b, both: {rate: 5mbit, delay: 15ms}}
client: {scheduler: minrtt, reorder: global}
traffic: [{name: dl, kind: tcp, duration: 10s}]
timeline:
  - {at: 4s, link: a, do: blackhole}
  - {at: 7s, link: a, do: restore}
expect:
  - dl.failed == 0
  - link.a.down.dropped > 0
  - dl.goodput > 2.5e6
  - client.recovered_in < 3
`)
}

func TestNoLinkAtFirst(t *testing.T) {
	runText(t, `
name: no-link
warmup: 0s
duration: 10s
links: [{name: a, both: {rate: 10mbit, delay: 10ms}, present: false}]
traffic:
  - {name: dl, kind: tcp, size: 1MB}
timeline: [{at: 2s, link: a, do: plug}]
expect:
  - dl.failed == 0 and dl.bytes == 1e6
  - dl.fct.p50 > 2
`)
}

func TestStrategiesAreReloaded(t *testing.T) {
	r := runText(t, `
name: reload
links: [{name: a, both: {rate: 10mbit, delay: 10ms}}]
client: {scheduler: wrr, reorder: {up: none, down: global}, rate_control: false}
traffic: [{name: ping, kind: ping, duration: 4s}]
timeline: [{at: 2s, do: reload-client, client: {scheduler: {up: redundant, down: minrtt}, reorder: {down: none}}}]
`)
	for path, want := range map[string]any{
		"client.session.scheduler": "redundant", "server.clients.client.scheduler": "minrtt",
		"client.session.reorder": "none", "server.clients.client.reorder": "none",
		"client.session.rate_control": false,
	} {
		if got := at(r.Measurements, path); got != want {
			t.Errorf("%s is %v, not %v", path, got, want)
		}
	}
}

func TestBaselines(t *testing.T) {
	text := `
name: baseline
warmup: 1s
links:
  - {name: a, both: {rate: 3mbit, delay: 5ms}}
  - {name: b, both: {rate: 6mbit, delay: 5ms}, present: false}
traffic: [{name: dl, kind: tcp, duration: 5s}]
timeline: [{at: 1s, link: b, do: plug}]
`
	r := runText(t, text+`
baseline: alone
expect:
  - alone.a.dl.goodput > 2e6 and alone.a.dl.goodput < 2.79e6
  - alone.b.dl.goodput > 4e6 and alone.b.dl.goodput < 5.58e6
`)
	alone := at(r.Measurements, "alone.b").(map[string]any)
	if alone["link"] == nil || len(alone["link"].(map[string]any)) != 1 {
		t.Errorf("the baseline has the links %v", alone["link"])
	}
	runText(t, text+`
baseline: bare
expect:
  - bare.a.dl.goodput > 2.7e6
  - bare.b.dl.goodput > 5.4e6
`)
}

func TestRunEndsWithItsTransfers(t *testing.T) {
	r := runText(t, `
name: early
links: [{name: a, both: {rate: 10mbit, delay: 5ms}}]
traffic: [{name: dl, kind: tcp, size: 1MB}]
expect: [dl.fct.p50 < 3, dl.goodput > 3e6]
`)
	if s := r.Emulator.(Health).Simulated; s > 5 {
		t.Errorf("simulated %v s", s)
	}
}

func TestTrace(t *testing.T) {
	dir := t.TempDir()
	var lines strings.Builder // one slot of 1504 bytes every 2 ms: 6 Mbit/s
	for ms := 2; ms <= 1000; ms += 2 {
		fmt.Fprintln(&lines, ms)
	}
	if err := os.WriteFile(filepath.Join(dir, "t"), []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	runText(t, `
name: trace
links: [{name: a, both: {delay: 5ms}, down: {trace: `+filepath.Join(dir, "t")+`}}]
traffic: [{name: dl, kind: tcp, via: "link:a", duration: 8s}]
expect: [dl.goodput > 5.3e6, dl.goodput < 6e6]
`)
}
