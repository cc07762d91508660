package config_test

import (
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/qos"
)

func TestQoS(t *testing.T) {
	parse := func(text string) (*config.Client, error) {
		c, _, err := config.ParseClient("client.toml", []byte(clientHead+text))
		return c, err
	}
	c, err := parse(`
[qos]
mode = "window"
[[qos.rule]]
address = "192.0.2.0/24"
port = 443
protocol = "tcp"
priority = 1
[[qos.rule]]
dscp = 46
direction = "up"
latency = "low"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []qos.Text{
		{Address: "192.0.2.0/24", Port: "443", Protocol: "tcp", Priority: 1},
		{DSCP: "46", Direction: "up", Latency: "low"},
	}
	if got := config.QoSTexts(c.QoS.Rules); c.QoS.Mode != config.QoSWindow || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%+v", c.QoS)
	}
	if c, err := parse(""); err != nil || c.QoS.Mode != config.QoSQueue || len(c.QoS.Rules) > 0 {
		t.Errorf("without rules: %+v, %v", c, err)
	}
	line := strings.Count(clientHead, "\n")
	for _, k := range []struct {
		text, want string
		line       int // below the others
	}{
		{"[qos]\nmode = \"quick\"\n", `qos.mode = "quick": must be one of queue, window, off`, 2},
		{"[[qos.rule]]\nport = 443\n", "qos rule 1: priority: is missing", 1},
		{"[[qos.rule]]\nport = \"9-5\"\npriority = 1\n", `qos.rule[0].port = "9-5": is a range without ports`, 2},
		{"[[qos.rule]]\nprort = 4\npriority = 1\n", `unknown key "qos.rule[0].prort"`, 2},
		{"[[qos.rule]]\npriority = 7\n", "qos.rule[0].priority = 7: must be 1..3", 2},
		{"[[qos.rule]]\nport = 443\npriority = 1\n\n[[qos.rule]]\nport = 443\nprotocol = \"tcp\"\npriority = 2\n",
			"qos rule 2: can never match: rule 1 (port 443: priority 1) takes all its packets first", 5},
		{"[[qos.rule]]\nport = 443\npriority = 1\n[[qos.rule]]\nport = 443\nlatency = \"low\"\n",
			"qos rule 2: contradicts rule 1 (port 443: priority 1)", 4},
		{strings.Repeat("[[qos.rule]]\npriority = 1\n", qos.MaxRules+1), "65 rules: at most 64", 1},
	} {
		_, err := parse(k.text)
		if err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%q: %v, want %q", k.text, err, k.want)
			continue
		}
		list := err.(config.Errors)
		if list[0].Line != line+k.line {
			t.Errorf("%q: line %d, want %d", k.text, list[0].Line, line+k.line)
		}
	}
}
