package scenario

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multilink-vpn/multilink/sim/report"
)

func TestEvaluate(t *testing.T) {
	sc := parse(t, small)
	measurements := map[string]any{
		"dl":     map[string]any{"goodput": 4.5e6, "stall": 0.25, "bytes": uint64(1000), "retransmits": 3},
		"client": map[string]any{"state": "up", "counters": map[string]any{"drop_replay": 0.0}},
	}
	down, _ := Capacity(sc)
	for _, want := range []report.Expectation{
		{Expr: "dl.goodput >= 0.1 * capacity.down", OK: true, Left: 4.5e6, Right: 0.1 * down},
		{Expr: "dl.stall <= 0.1", Left: 0.25, Right: 0.1},
		{Expr: "dl.bytes == 1000", OK: true, Left: uint64(1000), Right: 1000},
		{Expr: "dl.retransmits < 3", Left: 3, Right: 3},
		{Expr: "dl.stall <= 1 and dl.retransmits < 10", OK: true},
		{Expr: "dl.reordered <= 0.1", Left: nil, Right: 0.1, Error: "dl.reordered was not measured"},
		{Expr: "link.wlan0.down.bytes > 0", Right: 0, Error: "link.wlan0.down.bytes was not measured"},
		{Expr: `client.state == "up"`, OK: true, Left: "up", Right: "up"},
		{Expr: "client.counters.drop_replay == 0", OK: true, Left: 0.0, Right: 0},
		{Expr: "client.state", Error: "is up, not true or false"},
		{Expr: "client.state > 3", Left: "up", Right: 3, Error: "invalid operation: string > int (1:14)"},
		{Expr: "abs(dl.stall - 1) < 1", OK: true, Left: 0.75, Right: 1},
	} {
		sc.Expect = []Expectation{{Expr: want.Expr}}
		got := Evaluate(sc, measurements)
		if diff := cmp.Diff([]report.Expectation{want}, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", want.Expr, diff)
		}
	}
	if measurements["capacity"] != nil {
		t.Error("Evaluate changed the measurements")
	}
}

func TestStatusNames(t *testing.T) {
	names := func(role string) []string {
		if role == "server" {
			return nil
		}
		return []string{"state", "links.*.srtt", "counters.tx_packets"}
	}
	for expression, fault := range map[string]string{
		"client.counters.tx_packets > 0":   "",
		"client.links.wlan0.srtt < 0.1":    "",
		`client.links["wlan0"].srtt < 0.1`: "",
		"client.recovered_in < 1":          "",
		"server.anything.at.all > 0":       "",
		"client.counters.tx_pakets > 0":    `client.counters has no "tx_pakets": did you mean "tx_packets"?`,
		"client.links.wlan0.rtt < 0.1":     `client.links.wlan0 has no "rtt": did you mean "srtt"?`,
	} {
		_, err := Parse("file.yaml", []byte(small), Options{StatusNames: names, Set: []string{"expect.0=" + expression}})
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.HasSuffix(err.Error(), fault)) {
			t.Errorf("%s: got %v, want %q", expression, err, fault)
		}
	}
}

// TestNames compiles an expectation on each measurement of each kind, and
// holds that the reserved words are those that would not compile.
func TestNames(t *testing.T) {
	for kind, list := range measures {
		for _, m := range list {
			text := "name: x\nduration: 5s\nlinks: [{name: a}]\ntraffic: [{name: it, kind: " + kind + ", direction: down, rate: 1mbit}]\nexpect: [it." + m + " > 0]"
			switch kind {
			case "ping", "dns":
				text = strings.Replace(text, ", direction: down, rate: 1mbit", "", 1)
			case "tcp", "http", "rtp":
				text = strings.Replace(text, ", rate: 1mbit", "", 1)
			}
			parse(t, text)
		}
	}
	for _, name := range []string{"count", "sum", "len", "filter", "now", "map", "get", "dl", "startswith"} {
		parse(t, "name: x\nduration: 5s\nlinks: [{name: a}]\ntraffic: [{name: "+name+", kind: tcp}]\nexpect: ["+name+".goodput > 0]")
	}
}

func TestConfigChecks(t *testing.T) {
	o := Options{
		CheckClient: func(keys map[string]any) error {
			var errs []error
			if keys["scheduler"] == "magic" {
				errs = append(errs, &KeyError{"scheduler", `unknown scheduler "magic"`})
			}
			if tun, ok := keys["tun"].(map[string]any); ok && tun["mtu"] == uint64(20) {
				errs = append(errs, &KeyError{"tun.mtu", "tun.mtu = 20: must be 1280..1420"})
			}
			return errors.Join(errs...)
		},
		CheckServer: func(map[string]any) error { return errors.New("no") },
	}
	text := `name: x
duration: 5s
links: [{name: a}]
client:
  scheduler: magic
  tun:
    name: ml0
    mtu: 20
server: {a: 1}
timeline:
  - {at: 1s, do: reload-client, client: {scheduler: magic}}
`
	_, err := Parse("file.yaml", []byte(text), o)
	want := `file.yaml:5:14: client: unknown scheduler "magic"
file.yaml:8:10: client: tun.mtu = 20: must be 1280..1420
file.yaml:9:9: server: no
file.yaml:11:53: client: unknown scheduler "magic"`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestCapacity(t *testing.T) {
	const head = "name: x\nduration: 5s\n"
	const two = "links: [{name: a, both: {rate: 10mbit}, up: {rate: 2mbit}}, {name: b, both: {rate: 20mbit}}, {name: c, both: {rate: 5mbit}, present: false}]\n"
	const v4 = 1348.0 / 1468
	for _, c := range []struct {
		name, text string
		down, up   float64
	}{
		{"sum of present links", two, 30e6 * v4, 22e6 * v4},
		{"bottleneck", two + "bottlenecks: [{name: s, links: [a, b], down: {rate: 15mbit}}]\n", 15e6 * v4, 22e6 * v4},
		{"wide bottleneck", two + "bottlenecks: [{name: s, links: [a, c], both: {rate: 15mbit}}]\n", 30e6 * v4, 22e6 * v4},
		{"underlay 6", two + "underlay: 6\n", 30e6 * 1348 / 1488, 22e6 * 1348 / 1488},
		{"underlay both, 6 by configuration", two + "underlay: both\nclient: {underlay: {family: \"6\"}}\n", 30e6 * 1348 / 1488, 22e6 * 1348 / 1488},
		{"inner 6", two + "traffic: [{name: d, kind: tcp, ip: 6}]\n", 30e6 * 1328 / 1468, 22e6 * 1328 / 1468},
		{"mtu", two + "client: {tun: {mtu: 1300}}\n", 30e6 * 1248 / 1368, 22e6 * 1248 / 1368},
		{"unlimited", "links: [{name: a, up: {rate: 1mbit}}]\n", math.Inf(1), 1e6 * v4},
		{"trace", "links: [{name: a, both: {trace: testdata/good.trace}}]\n", 16e6 * v4, 16e6 * v4},
	} {
		t.Run(c.name, func(t *testing.T) {
			down, up := Capacity(parse(t, head+c.text))
			near := func(a, b float64) bool { return a == b || math.Abs(a-b) < 1e-6*b }
			if !near(down, c.down) || !near(up, c.up) {
				t.Errorf("got %g, %g; want %g, %g", down, up, c.down, c.up)
			}
		})
	}
}
