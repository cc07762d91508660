package qos

import (
	"errors"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text Text
		want string // of String, or of the error after "!"
	}{
		{Text{Address: "192.0.2.1", Port: "443", Protocol: "tcp", Priority: 1}, "address 192.0.2.1, port 443, protocol tcp: priority 1"},
		{Text{Address: "2001:db8::/32", DSCP: "ef", Direction: "up", Latency: "low"}, "address 2001:db8::/32, dscp ef, direction up: latency low"},
		{Text{Port: "5000-5999", Priority: 2}, "port 5000-5999: priority 2"},
		{Text{Priority: 3}, "everything: priority 3"},
		{Text{Protocol: "icmp", Latency: "low"}, "protocol icmp: latency low"},
		{Text{Protocol: "50", Direction: "both", DSCP: "0", Priority: 1}, "protocol 50, dscp 0, direction both: priority 1"},
		{Text{}, "!priority: is missing"},
		{Text{Priority: 4}, "!priority: must be 1, 2 or 3"},
		{Text{Priority: -1}, "!priority: must be 1, 2 or 3"},
		{Text{Priority: 1, Latency: "low"}, "!latency: contradicts priority"},
		{Text{Latency: "high"}, `!latency: must be "low"`},
		{Text{Address: "192.0.2.1/24", Priority: 1}, `!address: has bits behind its length: must be "192.0.2.0/24"`},
		{Text{Address: "::ffff:192.0.2.1", Priority: 1}, "!address: must be an address"},
		{Text{Address: "fe80::1%eth0", Priority: 1}, "!address: must be an address"},
		{Text{Address: "example.org", Priority: 1}, "!address: must be an address"},
		{Text{Port: "0", Priority: 1}, "!port: must be a port"},
		{Text{Port: "65536", Priority: 1}, "!port: must be a port"},
		{Text{Port: "9-5", Priority: 1}, `!port: is a range without ports: did you mean "5-9"?`},
		{Text{Port: "53", Protocol: "icmp", Priority: 1}, "!port: can never match: protocol icmp has no ports"},
		{Text{Port: "53", Protocol: "50", Priority: 1}, "!port: can never match"},
		{Text{Protocol: "256", Priority: 1}, "!protocol: must be"},
		{Text{DSCP: "64", Priority: 1}, "!dscp: must be 0..63"},
		{Text{Direction: "left", Priority: 1}, "!direction: must be up, down or both"},
	} {
		r, err := Parse(c.text)
		if want, fails := strings.CutPrefix(c.want, "!"); fails {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q", c.text, err, want)
			}
			continue
		}
		if err != nil || r.String() != c.want || r.Text() != c.text {
			t.Errorf("%+v: %v, %v, want %q", c.text, r, err, c.want)
		}
	}
}

func TestParseAll(t *testing.T) {
	anything := Text{Priority: 2}
	for _, c := range []struct {
		name  string
		rules []Text
		want  string // "" is right
	}{
		{"narrow before wide", []Text{{Address: "192.0.2.1", Priority: 1}, {Address: "192.0.2.0/24", Priority: 2}, anything}, ""},
		{"wide before narrow", []Text{{Address: "192.0.2.0/24", Priority: 2}, {Address: "192.0.2.1", Priority: 1}}, "rule 2: can never match: rule 1 (address 192.0.2.0/24: priority 2)"},
		{"everything first", []Text{anything, {Port: "53", Protocol: "udp", DSCP: "ef", Latency: "low"}}, "rule 2: can never match"},
		{"the same twice", []Text{{Port: "80", Priority: 1}, {Port: "80", Priority: 1}}, "rule 2: can never match"},
		{"the same, another verdict", []Text{{Port: "80", Priority: 1}, {Port: "80", Latency: "low"}}, "rule 2: contradicts rule 1 (port 80: priority 1)"},
		{"each direction before", []Text{{Direction: "up", Priority: 1}, {Direction: "down", Priority: 2}, {Port: "80", Priority: 1}}, "rule 3: can never match: rule 2"},
		{"one direction before", []Text{{Direction: "up", Priority: 1}, {Port: "80", Priority: 2}}, ""},
		{"other family", []Text{{Address: "0.0.0.0/0", Priority: 1}, {Address: "::/0", Priority: 2}}, ""},
		{"port of any protocol", []Text{{Port: "1-100", Priority: 1}, {Port: "80", Protocol: "tcp", Priority: 2}}, "rule 2: can never match"},
		{"port before none", []Text{{Port: "1-65535", Priority: 1}, {Protocol: "udp", Priority: 2}}, ""},
		{"icmp as a number", []Text{{Protocol: "icmp", Priority: 1}, {Protocol: "58", Priority: 2}}, "rule 2: can never match"},
		{"number before icmp", []Text{{Protocol: "1", Priority: 1}, {Protocol: "icmp", Priority: 2}}, ""},
		{"dscp", []Text{{DSCP: "46", Priority: 1}, {DSCP: "ef", Port: "9", Priority: 2}}, "rule 2: can never match"},
		{"bad field", []Text{{Priority: 1, Port: "1"}, {Priority: 9}}, "rule 2: priority: must be 1, 2 or 3"},
		{"too many", make([]Text, MaxRules+1), "65 rules: at most 64"},
	} {
		_, err := ParseAll(c.rules)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// FuzzParse: whatever is taken for a rule says so in words, gives itself back
// as it was written, and decides about packets.
func FuzzParse(f *testing.F) {
	f.Add("192.0.2.0/24", "443", "tcp", "46", "up", 1, "")
	f.Add("2001:db8::1", "5000-6000", "17", "ef", "", 0, "low")
	f.Add("", "65536", "icmp", "-1", "both", 4, "high")
	packets := [][]byte{ip("192.0.2.1", 443, 6, 46), ip("2001:db8::1", 5500, 17, 46), {}}
	f.Fuzz(func(t *testing.T, address, port, protocol, dscp, direction string, priority int, latency string) {
		text := Text{Address: address, Port: port, Protocol: protocol, DSCP: dscp, Direction: direction, Priority: priority, Latency: latency}
		r, err := Parse(text)
		if err != nil {
			var field *FieldError
			if !errors.As(err, &field) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if r.Text() != text || r.String() == "" {
			t.Fatalf("%+v became %+v, %q", text, r.Text(), r)
		}
		rules := New([]Rule{r})
		for _, p := range packets {
			rules.Match(p, Up)
		}
	})
}
