package config_test

import (
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
)

func TestServerAddresses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"vpn.example.org", "vpn.example.org:5410"},
		{"vpn.example.org:1", "vpn.example.org:1"},
		{"localhost", "localhost:5410"},
		{"host.", "host.:5410"},
		{"192.0.2.1", "192.0.2.1:5410"},
		{"192.0.2.1:65535", "192.0.2.1:65535"},
		{"2001:db8::1", "[2001:db8::1]:5410"},
		{"[2001:db8::1]", "[2001:db8::1]:5410"},
		{"[2001:db8::1]:77", "[2001:db8::1]:77"},
		{"fe80::1%eth0", "[fe80::1%eth0]:5410"},
	}
	for _, tt := range tests {
		body := strings.Replace(clientHead, "vpn.example.org", tt.text, 1)
		got, _, err := config.ParseClient("c", []byte(body))
		if err != nil || got.Server.String() != tt.want {
			t.Errorf("%s: got %v, %v, want %s", tt.text, got, err, tt.want)
		}
	}
	const want = `must be host[:port], such as "vpn.example.org", "192.0.2.1:5410" or "[2001:db8::1]:5410"`
	for _, text := range []string{"", "a b", "https://vpn.example.org", "192.0.2", "1.2.3.4.5", "[192.0.2.1]:5410", "[::1", "0.0.0.0", "::", "-x", "a..b", "224.0.0.1", strings.Repeat("a.", 130) + "a"} {
		body := strings.Replace(clientHead, "vpn.example.org", text, 1)
		if _, _, err := config.ParseClient("c", []byte(body)); err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "port behind the colon") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestBrackets: an IPv6 address has colons of its own.
func TestBrackets(t *testing.T) {
	const (
		behind = `an IPv6 address must be in brackets, with the port behind them, such as "[2001:db8::1]:5410"`
		host   = `must be host[:port], such as "vpn.example.org", "192.0.2.1:5410" or "[2001:db8::1]:5410"`
	)
	for _, tt := range []struct{ server, want string }{
		{"2001:db8::1:70000", `an IPv6 address with a port must be in brackets: "[2001:db8::1]:5410"`},
		{"2001:db8:0:0:0:0:0:1:77", `an IPv6 address with a port must be in brackets: "[2001:db8:0:0:0:0:0:1]:77"`},
		{"fe80::1%eth0:77", `an IPv6 address with a port must be in brackets: "[fe80::1%eth0]:77"`},
		{"2001:db8::g", host},
		{"2001:db8::1]:77", host},
		{"[2001:db8::1]:0", "the port behind the colon must be 1..65535"},
	} {
		_, _, err := config.ParseClient("client.toml", []byte(strings.Replace(clientHead, "vpn.example.org", tt.server, 1)))
		checkMistake(t, err, `client.toml:1:10: server = "`+tt.server+`": `+tt.want)
	}
	for _, tt := range []struct{ listen, want string }{
		{"2001:db8::1", behind},
		{"2001:db8::1:5410", behind},
		{"::1:70000", behind},
		{"[2001:db8::1]", `must be [address]:port, such as ":5410"`},
		{"[::ffff:192.0.2.1]:5410", `must be [address]:port, such as ":5410"`},
	} {
		_, _, err := config.ParseServer("server.toml", []byte(serverHead+`listen = "`+tt.listen+`"`+serverTail))
		checkMistake(t, err, `server.toml:2:10: listen = "`+tt.listen+`": `+tt.want)
	}
	_, _, err := config.ParseClient("client.toml", []byte(clientHead+`metrics.listen = "::1:9410"`))
	checkMistake(t, err, `client.toml:4:18: metrics.listen = "::1:9410": `+behind)
}
