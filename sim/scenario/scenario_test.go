package scenario

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// complete uses every key of the language.
const complete = `
name: home-two-links
about: One download over a home line and a tethered phone.
seed: 7
backend: [netns, virtual]
warmup: 2s
duration: 20s
underlay: both
baseline: alone
links:
  - name: wlan0
    down: {rate: 50mbit, delay: 10ms, queue: 100ms}
    up:   {rate: 20mbit, delay: 10ms, queue: 64KiB, mtu: 1400}
    nat: true
  - name: wwan0
    both: {rate: 20mbit, delay: 40ms, jitter: 5ms, distribution: normal, loss: 0.5%}
    up: {rate: 10mbit, queue: 100p, loss: {p: 1%, r: 25%, good: 0.1%, bad: 90%}}
    nat: false
    present: false
  - {name: sat0, down: {trace: testdata/good.trace, reorder: 1%, delay: 1ms, duplicate: 2%, corrupt: 3%}}
bottlenecks:
  - {name: street, links: [wlan0, wwan0], both: {rate: 40mbit, queue: 50ms}}
client: {scheduler: earliest, tun: {mtu: 1380}}
server: {client_to_client: false}
traffic:
  - {name: dl, kind: tcp, direction: down, streams: 2, cc: cubic, start: 1s, duration: 19s}
  - {name: ul, kind: tcp, direction: both, size: 10MB, via: mptcp}
  - {name: flood, kind: udp, rate: 1mbit, packet: 500, via: "link:wlan0", ip: 6}
  - {name: call, kind: rtp, codec: opus}
  - {name: echo, kind: ping, interval: 50ms, to: 2, ip: 6}
  - {name: web, kind: http, size: 1MiB, count: 3}
  - {name: names, kind: dns}
timeline:
  - {at: 12s, link: wlan0, do: restore, direction: up}
  - {at: 8s, link: wlan0, do: blackhole}
  - {at: 5s, link: wwan0, do: plug}
  - {at: 6s, link: wwan0, do: set, both: {loss: 2%}}
  - {at: 7s, link: sat0, do: set, down: {rate: 3mbit}}
  - {at: 9s, do: reload-client, client: {scheduler: minrtt}}
expect:
  - dl.goodput >= 0.95 * capacity.down
  - call.up.mos >= 4.2 and alone.wlan0.dl.goodput > 0
`

func parse(t *testing.T, text string, set ...string) *Scenario {
	t.Helper()
	sc, err := Parse("file.yaml", []byte(text), Options{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// What the sections traffic and expect of complete say.
var completeTraffic = []Traffic{
	{Name: "dl", Kind: "tcp", Direction: "down", Streams: 2, CC: "cubic", Start: time.Second, Duration: 19 * time.Second, To: 1, IP: 4, Via: Via{Kind: "tunnel"}},
	{Name: "ul", Kind: "tcp", Direction: "both", Streams: 1, Size: 10e6, To: 1, IP: 4, Via: Via{Kind: "mptcp"}},
	{Name: "flood", Kind: "udp", Direction: "down", Rate: 1e6, Packet: 500, To: 1, IP: 6, Via: Via{Kind: "link", Link: "wlan0"}},
	{Name: "call", Kind: "rtp", Direction: "both", Codec: "opus", To: 1, IP: 4, Via: Via{Kind: "tunnel"}},
	{Name: "echo", Kind: "ping", Interval: 50 * time.Millisecond, To: 2, IP: 6, Via: Via{Kind: "tunnel"}},
	{Name: "web", Kind: "http", Direction: "down", Size: 1 << 20, Count: 3, To: 1, IP: 4, Via: Via{Kind: "tunnel"}},
	{Name: "names", Kind: "dns", Interval: 100 * time.Millisecond, To: 1, IP: 4, Via: Via{Kind: "tunnel"}},
}

var completeExpect = []Expectation{
	{Expr: "dl.goodput >= 0.95 * capacity.down", Line: 41, Column: 5},
	{Expr: "call.up.mos >= 4.2 and alone.wlan0.dl.goodput > 0", Line: 42, Column: 5},
}

func TestComplete(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	s := func(n int) time.Duration { return time.Duration(n) * time.Second }
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	none := Impairment{Distribution: "uniform", Queue: defaultQueue}
	with := func(base Impairment, change func(*Impairment)) Impairment {
		change(&base)
		return base
	}
	homeDown := with(none, func(i *Impairment) { i.Rate, i.Delay = 50e6, ms(10) })
	homeUp := with(none, func(i *Impairment) {
		i.Rate, i.Delay, i.MTU, i.Queue = 20e6, ms(10), 1400, Queue{Bytes: 64 << 10}
	})
	phone := with(none, func(i *Impairment) {
		i.Rate, i.Delay, i.Jitter, i.Distribution = 20e6, ms(40), ms(5), "normal"
		i.Loss.Good = 0.005
	})
	phoneUp := with(phone, func(i *Impairment) {
		i.Rate, i.Queue = 10e6, Queue{Packets: 100}
		i.Loss = Loss{P: 0.01, R: 0.25, Good: 0.001, Bad: 0.9}
	})
	sky := with(none, func(i *Impairment) {
		i.Trace, i.Reorder, i.Delay = dir+"/testdata/good.trace", 0.01, ms(1)
		i.Duplicate, i.Corrupt = 0.02, 0.03
	})
	street := with(none, func(i *Impairment) { i.Rate, i.Queue = 40e6, Queue{Time: ms(50)} })
	lossy := with(phone, func(i *Impairment) { i.Loss.Good = 0.02 })
	lossyUp := with(phoneUp, func(i *Impairment) { i.Loss = Loss{Good: 0.02} })
	slowSky := with(sky, func(i *Impairment) { i.Trace, i.Rate = "", 3e6 })
	want := &Scenario{
		Path: "file.yaml", Name: "home-two-links", About: "One download over a home line and a tethered phone.",
		Seed: 7, Backends: []string{"netns", "virtual"}, Warmup: s(2), Duration: s(20), Underlay: UnderlayBoth, Baseline: "alone",
		Links: []Link{
			{Name: "wlan0", Down: homeDown, Up: homeUp, NAT: true, Present: true},
			{Name: "wwan0", Down: phone, Up: phoneUp},
			{Name: "sat0", Down: sky, Up: none, NAT: true, Present: true},
		},
		Bottlenecks: []Bottleneck{{Name: "street", Links: []string{"wlan0", "wwan0"}, Up: street, Down: street}},
		Client:      map[string]any{"scheduler": "earliest", "tun": map[string]any{"mtu": uint64(1380)}},
		Server:      map[string]any{"client_to_client": false},
		Traffic:     completeTraffic, Expect: completeExpect,
		Timeline: []Action{
			{At: s(5), Do: "plug", Link: "wwan0"},
			{At: s(6), Do: "set", Link: "wwan0", Up: &lossyUp, Down: &lossy},
			{At: s(7), Do: "set", Link: "sat0", Down: &slowSky},
			{At: s(8), Do: "blackhole", Link: "wlan0", Direction: "both"},
			{At: s(9), Do: "reload-client", Client: map[string]any{"scheduler": "minrtt"}},
			{At: s(12), Do: "restore", Link: "wlan0", Direction: "up"},
		},
	}
	// The order of the sections does not matter, and sat0 has no rate up.
	if diff := cmp.Diff(want, parse(t, complete)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// small is a base for overrides.
const small = `
name: small
links:
  - {name: wlan0, both: {rate: 10mbit, delay: 5ms}, up: {rate: 2mbit}}
  - {name: wwan0, both: {rate: 20mbit}}
traffic:
  - {name: dl, kind: tcp, duration: 10s}
expect:
  - dl.goodput >= 1e6
`

func TestDefaults(t *testing.T) {
	sc := parse(t, small)
	if sc.Seed != 1 || sc.Warmup != 3*time.Second || sc.Duration != 10*time.Second || sc.Underlay != Underlay4 {
		t.Errorf("got %+v", sc)
	}
	if diff := cmp.Diff([]string{"netns", "virtual"}, sc.Backends); diff != "" {
		t.Error(diff)
	}
}

func TestDurations(t *testing.T) {
	for _, c := range []struct {
		name, traffic, rest string
		duration, warmup    time.Duration
	}{
		{"the end of the last traffic", "{name: a, kind: tcp, start: 2s, duration: 10s}, {name: b, kind: ping}", "", 12 * time.Second, 3 * time.Second},
		{"given", "{name: b, kind: ping}", "duration: 7s", 7 * time.Second, 3 * time.Second},
		{"by size", "{name: a, kind: http, start: 5s}", "", 65 * time.Second, 3 * time.Second},
		{"shorter than the warm-up", "{name: a, kind: ping, duration: 2s}", "", 2 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := parse(t, "name: x\nlinks: [{name: a}]\ntraffic: ["+c.traffic+"]\n"+c.rest)
			if sc.Duration != c.duration || sc.Warmup != c.warmup {
				t.Errorf("duration %s, warm-up %s; want %s, %s", sc.Duration, sc.Warmup, c.duration, c.warmup)
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	if _, err := Load("testdata/none.yaml", Options{}); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	_, err := Parse("x", []byte(strings.Repeat("#", maxFile+1)), Options{})
	if err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("got %v", err)
	}
}
