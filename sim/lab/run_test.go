package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// parse reads a scenario from its text.
func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	sc, err := scenario.Parse("test.yaml", []byte(text), scenario.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

// testLog passes what a run does on to the test's log.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}

// runs runs a scenario and checks that nothing of it is left.
func runs(t *testing.T, text string, o Options) *report.Result {
	t.Helper()
	needRoot(t)
	if o.Impair == "" {
		o.Impair = impairUser
	}
	o.Log = testLog{t}
	before := leftovers(t)
	result, err := Run(context.Background(), parse(t, text), o)
	if err != nil {
		t.Fatal(err)
	}
	for name := range leftovers(t) {
		if !before[name] {
			t.Errorf("%s is left", name)
		}
	}
	t.Logf("%s %s, emulator %+v", result.Verdict, result.Reason, result.Emulator)
	return result
}

// leftovers lists what a run of this process makes in the file system.
func leftovers(t *testing.T) map[string]bool {
	t.Helper()
	left := map[string]bool{}
	manifests, err := filepath.Glob(runDir + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range manifests {
		m, err := readManifest(path)
		if err != nil || m.PID != os.Getpid() {
			continue // a run of somebody else
		}
		left[path] = true
		for _, name := range m.Namespaces {
			left["/run/netns/"+name] = true
		}
	}
	return left
}

// holds checks expectations, which say themselves what was measured. What an
// overloaded machine does to the emulator is not this package's fault.
func holds(t *testing.T, r *report.Result) {
	t.Helper()
	for _, e := range r.Expectations {
		if e.OK {
			continue
		}
		if r.Verdict == report.Inconclusive {
			t.Skipf("the machine is too busy: %s; %s: left %v, right %v %s", r.Reason, e.Expr, e.Left, e.Right, e.Error)
		}
		t.Errorf("%s: left %v, right %v %s", e.Expr, e.Left, e.Right, e.Error)
	}
	if r.Verdict == report.Fail {
		t.Errorf("verdict %s: %s", r.Verdict, r.Reason)
	}
}

const everyKind = `
name: every-kind
warmup: 0.5s
underlay: %s
links:
  - {name: wlan0, down: {rate: 20mbit, delay: 10ms}, up: {rate: 10mbit, delay: 10ms}}
  - {name: wwan0, both: {rate: 5mbit, delay: 30ms}, nat: false}
traffic:
  - {name: dl, kind: tcp, cc: cubic, duration: 2s, via: "link:wlan0", ip: %s}
  - {name: ul, kind: tcp, direction: up, cc: cubic, duration: 2s, via: "link:wwan0", to: 2, ip: %s}
  - {name: cbr, kind: udp, direction: both, rate: 0.5mbit, packet: 500, duration: 2s, via: "link:wwan0", ip: %s}
  - {name: page, kind: http, size: 200KB, via: "link:wlan0", ip: %s, duration: 2s}
  - {name: echo, kind: ping, interval: 50ms, duration: 2s, via: "link:wwan0", ip: %s}
  - {name: names, kind: dns, interval: 100ms, duration: 2s, via: "link:wlan0", ip: %s}
expect:
  - dl.goodput > 1e6 && dl.goodput < 20e6
  - ul.goodput > 0.5e6 && ul.goodput < 5e6
  - dl.reordered == 0
  - cbr.down.loss < 0.5 && cbr.up.delay.p50 >= 0.03
  - page.fct.p50 >= 0.04
  - echo.rtt.min >= 0.06 && echo.loss < 0.5
  - names.queries == 20 && names.failed < 10
  - link.wlan0.down.bytes > dl.bytes
  - link.wlan0.down.queued_max > 0
`

func TestEveryKindOfTraffic(t *testing.T) {
	for _, family := range []string{"4", "6"} {
		t.Run("IPv"+family, func(t *testing.T) {
			f := family
			holds(t, runs(t, fmt.Sprintf(everyKind, f, f, f, f, f, f, f), Options{}))
		})
	}
}

func TestSeriesAndEnvironment(t *testing.T) {
	r := runs(t, `
name: series
warmup: 0s
links: [{name: wlan0, both: {rate: 10mbit, delay: 5ms}}]
traffic: [{name: dl, kind: tcp, cc: reno, duration: 1s, via: "link:wlan0"}]
`, Options{})
	s := r.Series["dl.goodput"]
	if len(s.V) != 10 || s.T[9] != 0.9 {
		t.Errorf("series %v", s)
	}
	if r.Environment.Kernel == "" || r.Environment.CPUs == 0 || r.Environment.Sysctls["net.ipv4.tcp_rmem"] == "" {
		t.Errorf("environment %+v", r.Environment)
	}
	if r.Backend != "netns" || r.Impair != "user" || r.Seed != 1 || r.Seconds <= 0 {
		t.Errorf("result %+v", r)
	}
}

func TestTimelineOnLinks(t *testing.T) {
	r := runs(t, `
name: timeline
links:
  - {name: wlan0, both: {delay: 1ms}}
  - {name: wwan0, both: {delay: 1ms}, present: false}
traffic:
  - {name: silent, kind: ping, interval: 20ms, start: 0.5s, duration: 0.5s, via: "link:wlan0"}
  - {name: again, kind: ping, interval: 20ms, start: 1.2s, duration: 0.3s, via: "link:wlan0"}
  - {name: late, kind: ping, interval: 20ms, start: 1.2s, duration: 0.3s, via: "link:wwan0"}
  - {name: slow, kind: ping, interval: 20ms, start: 1.8s, duration: 0.3s, via: "link:wlan0"}
  - {name: moved, kind: ping, interval: 20ms, start: 2.4s, duration: 0.3s, via: "link:wlan0"}
  - {name: gone, kind: ping, interval: 20ms, start: 2.4s, duration: 0.3s, via: "link:wwan0"}
  - {name: without, kind: ping, interval: 20ms, start: 3s, duration: 0.3s, via: "link:wlan0"}
  - {name: back, kind: ping, interval: 20ms, start: 3.6s, duration: 0.3s, via: "link:wlan0"}
timeline:
  - {at: 0.2s, link: wlan0, do: blackhole}
  - {at: 1s, link: wlan0, do: restore}
  - {at: 1s, link: wwan0, do: plug}
  - {at: 1.6s, link: wlan0, do: set, both: {delay: 40ms}}
  - {at: 2.2s, link: wlan0, do: readdress}
  - {at: 2.2s, link: wwan0, do: unplug}
  - {at: 2.8s, link: wlan0, do: down}
  - {at: 3.4s, link: wlan0, do: up}
expect:
  - silent.loss == 1
  - again.loss < 0.5 && again.rtt.min < 0.06
  - late.loss < 0.5
  - slow.loss < 0.5 && slow.rtt.min >= 0.08
  - moved.loss < 0.5 && moved.rtt.min >= 0.08
  - gone.loss == 1
  - without.loss == 1
  - back.loss < 0.5
`, Options{})
	holds(t, r)
}

// A NAT that forgets gives what goes on a new port, so the host's answers to
// the old one go nowhere until the client speaks up again, and a TCP
// connection is lost.
func TestRebind(t *testing.T) {
	r := runs(t, `
name: rebind
warmup: 0s
duration: 3s
links: [{name: wlan0, both: {rate: 20mbit, delay: 5ms}}]
traffic:
  - {name: cbr, kind: udp, direction: down, rate: 1mbit, packet: 500, duration: 3s, via: "link:wlan0"}
  - {name: dl, kind: tcp, cc: cubic, duration: 3s, via: "link:wlan0"}
timeline: [{at: 1.1s, link: wlan0, do: rebind}]
expect:
  - cbr.loss > 0 && cbr.loss < 0.6
  - dl.stall > 1
`, Options{})
	holds(t, r)
}

func TestBottleneck(t *testing.T) {
	holds(t, runs(t, `
name: bottleneck
warmup: 0.5s
links:
  - {name: a0, both: {rate: 20mbit, delay: 5ms}}
  - {name: b0, both: {rate: 20mbit, delay: 5ms}}
bottlenecks: [{name: street, links: [a0, b0], both: {rate: 8mbit, queue: 50ms}}]
traffic:
  - {name: one, kind: tcp, cc: cubic, duration: 2s, via: "link:a0"}
  - {name: two, kind: tcp, cc: cubic, duration: 2s, via: "link:b0"}
expect:
  - one.goodput + two.goodput < 8.2e6
  - one.goodput + two.goodput > 2e6
`, Options{}))
}

func TestBareBaseline(t *testing.T) {
	sc := parse(t, `
name: baseline
baseline: bare
warmup: 0s
links:
  - {name: a0, both: {rate: 8mbit, delay: 5ms}}
  - {name: b0, both: {rate: 4mbit, delay: 5ms}, present: false}
bottlenecks: [{name: street, links: [a0, b0], both: {rate: 6mbit}}]
traffic:
  - {name: dl, kind: tcp, cc: cubic, duration: 1s}
  - {name: other, kind: ping, duration: 1s, via: "link:a0"}
timeline: [{at: 0.5s, link: b0, do: plug}]
`)
	one := scenario.Single(sc, 1, sc.Baseline)
	if len(one.Links) != 1 || !one.Links[0].Present || len(one.Traffic) != 1 || one.Traffic[0].Via.Link != "b0" ||
		len(one.Timeline) != 0 || len(one.Bottlenecks) != 1 || needsProduct(one) {
		t.Errorf("%+v", one)
	}
	needRoot(t)
	b, err := baselines(context.Background(), sc, Options{Impair: impairUser})
	if err != nil {
		t.Fatal(err)
	}
	for link, most := range map[string]float64{"a0": 6e6, "b0": 4e6} {
		got := b.measurements[link].(map[string]any)["dl"].(map[string]any)["goodput"].(float64)
		if got <= 0 || got > most {
			t.Errorf("bare.%s.dl.goodput = %g with a rate of %g", link, got, most)
		}
	}
}

func TestMPTCP(t *testing.T) {
	holds(t, runs(t, `
name: mptcp
warmup: 1s
links:
  - {name: a0, both: {rate: 8mbit, delay: 10ms}}
  - {name: b0, both: {rate: 8mbit, delay: 10ms}}
traffic: [{name: dl, kind: tcp, duration: 4s, via: mptcp}]
expect:
  - dl.goodput > 8.2e6
  - link.a0.down.bytes > 5e5 && link.b0.down.bytes > 5e5
`, Options{}))
}

func TestCaptures(t *testing.T) {
	dir := t.TempDir()
	runs(t, `
name: captures
links: [{name: wlan0, both: {delay: 1ms}}]
traffic: [{name: echo, kind: ping, interval: 50ms, duration: 0.5s, via: "link:wlan0"}]
`, Options{PcapDir: dir})
	for name, least := range map[string]int{"link-wlan0": 40, "host-1": 20, "host-2": 0, "client-tunnel": 0} {
		f, err := os.Open(filepath.Join(dir, name+".pcapng"))
		if err != nil {
			t.Error(err)
			continue
		}
		defer f.Close()
		reader, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		packets := 0
		for {
			if _, _, err := reader.ReadPacketData(); err != nil {
				break
			}
			packets++
		}
		if packets < least {
			t.Errorf("%s has %d packets, want at least %d", name, packets, least)
		}
	}
}

func TestRunIsInterrupted(t *testing.T) {
	needRoot(t)
	before := leftovers(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sc := parse(t, `
name: interrupted
links: [{name: wlan0, both: {delay: 1ms}}]
traffic: [{name: echo, kind: ping, duration: 10m, via: "link:wlan0"}]
`)
	began := time.Now()
	_, err := Run(ctx, sc, Options{Impair: impairUser, Progress: func(p Progress) {
		if p.Phase == "running" {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
	if time.Since(began) > time.Minute {
		t.Error("it went on")
	}
	if after := leftovers(t); len(after) != len(before) {
		t.Errorf("left: %v", after)
	}
}

func TestKeepWaitsForTheInterrupt(t *testing.T) {
	needRoot(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	sc := parse(t, `
name: kept
links: [{name: wlan0, both: {delay: 1ms}}]
traffic: [{name: echo, kind: ping, interval: 20ms, duration: 0.2s, via: "link:wlan0"}]
expect: [echo.loss < 1]
`)
	var log strings.Builder
	kept := 0
	r, err := Run(ctx, sc, Options{Impair: impairUser, Keep: true, Log: &log, Progress: func(p Progress) {
		if strings.HasPrefix(p.Phase, "kept") {
			kept = len(leftovers(t))
			time.AfterFunc(50*time.Millisecond, cancel)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if kept == 0 || len(leftovers(t)) != 0 {
		t.Errorf("%d things were kept, %d are left", kept, len(leftovers(t)))
	}
	if r.Verdict == report.Fail || !strings.Contains(log.String(), "ip netns exec mls-") {
		t.Errorf("verdict %s, log %s", r.Verdict, log.String())
	}
}

func TestDoctor(t *testing.T) {
	needRoot(t)
	var out strings.Builder
	err := Doctor(&out)
	t.Log(out.String())
	if err != nil && !errors.Is(err, ErrMachine) {
		t.Error(err)
	}
	for _, c := range checks {
		if !strings.Contains(out.String(), " "+c.name+": ") {
			t.Errorf("nothing is said of %s", c.name)
		}
	}
}
