package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/core/qos"
)

func TestRulesText(t *testing.T) {
	var text strings.Builder
	err := showRules(&text, engine.QoSRules{
		QoSStatus: engine.QoSStatus{Mode: "window", Reason: "the server refuses"},
		List: []engine.QoSRule{
			{Number: 1, Text: qos.Text{Address: "198.51.100.0/24", Priority: 1}, Packets: 12},
			{Number: 2, Text: qos.Text{Protocol: "udp", Port: "5000-5999", Direction: "up", Latency: "low"}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	for i, want := range []string{
		"mode window (the server refuses)",
		"RULE ADDRESS PORT PROTOCOL DSCP DIRECTION GIVES PACKETS",
		"1 198.51.100.0/24 any any any both priority 1 12",
		"2 any 5000-5999 udp any up latency low 0",
	} {
		if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
			t.Errorf("line %d: %s\nwant %s", i, got, want)
		}
	}
	text.Reset()
	if err := showRules(&text, engine.QoSRules{QoSStatus: engine.QoSStatus{Mode: "off"}}); err != nil || text.String() != "mode off, no rules\n" {
		t.Errorf("%q, %v", text.String(), err)
	}
}

// TestWrongQoSUsage: what can be seen to be wrong is usage, whether a client
// runs or not.
func TestWrongQoSUsage(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"remove", "an argument is missing"},
		{"remove 0", `"0": must be the number of a rule`},
		{"remove first", `"first": must be the number of a rule`},
		{"add", "priority: is missing"},
		{"add --priority 1 --at 0", "--at = 0: must be from 1 on"},
		{"add 443", `argument "443" is one too many`},
		{"add --port 443", "priority: is missing"},
		{"add --port 443 --priority 9", `--priority "9": must be 1, 2 or 3`},
		{"add --port 99999 --priority 1", `--port "99999": must be a port`},
		{"add --port 443 --protocol icmp --priority 1", `--port "443": can never match: protocol icmp has no ports`},
		{"add --address 198.51.100.7/24 --priority 1", `--address "198.51.100.7/24": has bits behind its length`},
		{"add --dscp af99 --priority 1", `--dscp "af99": must be 0..63`},
		{"add --direction left --priority 1", `--direction "left": must be up, down or both`},
		{"add --priority 1 --latency low", `--latency "low": contradicts priority`},
		{"add --latency high", `--latency "high": must be "low"`},
		{"list all", `argument "all" is one too many`},
		{"drop", `unknown command "drop"`},
	} {
		args := append([]string{"qos"}, strings.Fields(c.args)...)
		if r := run(t, "", nil, args...); r.status != exitUsage || r.out != "" || !strings.Contains(r.err, c.want) {
			t.Errorf("qos %s: %d, printed %q, %q; want %d and %q", c.args, r.status, r.out, r.err, exitUsage, c.want)
		}
	}
}

// TestQoSWithoutClient: nothing that is right can be asked of nobody.
func TestQoSWithoutClient(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none.sock")
	for _, args := range [][]string{{"list", "--json"}, {"add", "--port", "443", "--priority", "1"}, {"remove", "1"}} {
		args = append(append([]string{"qos"}, args...), "--socket", socket)
		if r := run(t, "", nil, args...); r.status != exitFailure || !strings.Contains(r.err, socket+" does not exist") {
			t.Errorf("%v: %+v", args, r)
		}
	}
}
