package config_test

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Keys for tests: a private key, its public key, and public keys of others.
const (
	testPrivate = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	testPublic  = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	otherPublic = "cHV0LXRoZS1rZXktb2YteW91ci1sYXB0b3AtaGVyZSE="
	thirdPublic = "cHV0LXRoZS1rZXktb2YteW91ci1tb2JpbGUtaGVyZSE="
)

// clientHead is what every client's configuration needs, in three lines.
const clientHead = `server = "vpn.example.org"
server_key = "` + otherPublic + `"
private_key = "` + testPrivate + `"
`

func mustPublic(t *testing.T, text string) control.PublicKey {
	t.Helper()
	k, err := control.ParsePublicKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustPrivate(t *testing.T, text string) control.PrivateKey {
	t.Helper()
	k, err := control.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func both(name string) control.PerDirection { return control.PerDirection{Up: name, Down: name} }

func defaultClient(t *testing.T) *config.Client {
	return &config.Client{
		Server:     config.HostPort{Host: "vpn.example.org", Port: 5410},
		ServerKey:  mustPublic(t, otherPublic),
		PrivateKey: mustPrivate(t, testPrivate),
		Strategy: control.Strategy{
			Scheduler: both(sched.Default), Reorder: both(reseq.Default),
			RateControl: true, Retransmit: true, Equalize: "auto", Reports: "auto", Classifier: "rtp",
		},
		TUN:          config.TUN{Name: "multilink0", MTU: 1400, Mode: "auto"},
		Underlay:     config.Underlay{Mode: "auto", Family: "any"},
		Routes:       config.Routes{Default: true, Mark: 0x4d4c, Table: 0x4d4c},
		DNS:          config.DNS{Mode: "auto"},
		QoS:          config.QoS{Mode: config.QoSQueue},
		Grace:        10 * time.Minute,
		Log:          config.Log{Level: "info", Format: "text"},
		StatusSocket: "/run/multilink/multilink0.sock",
		StateDir:     "/run/multilink",
		UsageFile:    "/var/lib/multilink/multilink0.usage.json",
	}
}

func TestClientDefaults(t *testing.T) {
	got, warnings, err := config.ParseClient("client.toml", []byte(clientHead))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v, %v", warnings, err)
	}
	if want := defaultClient(t); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// everyClientKey sets all that clientHead does not, each to another value than its default.
const everyClientKey = `
scheduler = {up = "redundant", down = "minrtt"}
reorder = "none"
rate_control = false
retransmit = false
equalize = "off"
reports = "rare"
classifier = "rtp-basic"
grace = "90s"
status_socket = "/tmp/a/../s.sock"
state_dir = "/tmp/state/"
usage_file = "/tmp/usage.json"
tun = {name = "mine", mtu = 1300, mode = "portable"}
underlay.mode = "fast"
underlay.family = "6"
[interfaces]
allow = ["eth0", "wlan*"]
deny = ["wlan1"]
[[links]]
name = "wwan*"
role = "backup"
cap_up = "5 Mbit/s"
cap_down = "2500kbit/s"
max_rtt = "300 ms"
max_loss = "5%"
quota = "10 GB"
reset_day = 15
at_quota = "backup"
[[links]]
name = "*"
cap_up = "none"
[routes]
default = false
include = ["192.0.2.0/24", "2001:db8::/32"]
exclude = ["192.0.2.128/25"]
mark = 0x10
table = 100
[dns]
servers = ["192.0.2.53", "2001:db8::53"]
[metrics]
listen = ":9410"
[log]
level = "debug"
format = "json"
`

func TestClientWithEverything(t *testing.T) {
	got, _, err := config.ParseClient("client.toml", []byte(clientHead+everyClientKey))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultClient(t)
	want.Strategy = control.Strategy{
		Scheduler: control.PerDirection{Up: "redundant", Down: "minrtt"}, Reorder: both("none"), Equalize: "off", Reports: "rare", Classifier: "rtp-basic",
	}
	want.Grace, want.StatusSocket, want.StateDir = 90*time.Second, "/tmp/s.sock", "/tmp/state"
	want.UsageFile = "/tmp/usage.json"
	want.Links = []config.LinkRule{
		{Name: "wwan*", LinkPolicy: config.LinkPolicy{
			Role: "backup", CapUp: 5e6, CapDown: 2.5e6, MaxRTT: 300 * time.Millisecond, MaxLoss: 0.05,
			Quota: 10e9, ResetDay: 15, AtQuota: "backup",
		}},
		{Name: "*", LinkPolicy: config.DefaultLinkPolicy},
	}
	want.TUN = config.TUN{Name: "mine", MTU: 1300, Mode: "portable"}
	want.Underlay = config.Underlay{Mode: "fast", Family: "6"}
	want.Interfaces = config.Interfaces{Allow: []string{"eth0", "wlan*"}, Deny: []string{"wlan1"}}
	want.Routes = config.Routes{
		Include: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Exclude: []netip.Prefix{netip.MustParsePrefix("192.0.2.128/25")}, Mark: 16, Table: 100,
	}
	want.DNS.Servers = []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}
	want.Log = config.Log{Level: "debug", Format: "json"}
	want.Metrics.Listen = netip.MustParseAddrPort("127.0.0.1:9410")
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestSocketFollowsTheDevice(t *testing.T) {
	got, _, err := config.ParseClient("c", []byte(clientHead+"tun.name = \"mine\""))
	if err != nil || got.StatusSocket != "/run/multilink/mine.sock" {
		t.Errorf("%+v, %v", got, err)
	}
}

// mistake is one wrong line below a head that is right.
type mistake struct {
	name, line, want string // want begins with line:column
}

func TestClientMistakes(t *testing.T) {
	schedulers, resequencers := strings.Join(sched.Names(), ", "), strings.Join(reseq.Names(), ", ")
	checkMistakes(t, []mistake{
		{"unknown key", `shceduler = "wrr"`, `4:1: unknown key "shceduler": did you mean "scheduler"?`},
		{"unknown key, nothing near", `colour = "red"`, `4:1: unknown key "colour": known here: classifier, dns, equalize, grace, `},
		{"a key of the server", `masquerade = true`, `4:1: unknown key "masquerade": a server has it: this is read as the configuration of the other end`},
		{"a table of the server", "[[clients]]\nname = \"a\"", `4:3: unknown key "clients": a server has it`},
		{"unknown key in a table", "[tun]\nmut = 1300", `5:1: unknown key "tun.mut": did you mean "tun.mtu"?`},
		{"unknown table", "[tuns]\nmtu = 1300", `4:2: unknown key "tuns": did you mean "tun"?`},
		{"below the wrong table", "[log]\nkill_switch = true", `5:1: unknown key "log.kill_switch": "kill_switch" belongs at the top of the file, above the first [table]`},
		{"above the tables", `mtu = 1300`, `4:1: unknown key "mtu": did you mean "tun.mtu"?`},
		{"unknown key in a table in line", `scheduler = {up = "wrr", dwn = "wrr"}`, `4:26: unknown key "scheduler.dwn": did you mean "scheduler.down"?`},
		{"syntax", `grace = `, `4:`},
		{"twice", "grace = \"1m\"\ngrace = \"2m\"", `5:1: `},

		{"scheduler", `scheduler = "wr"`, `4:13: scheduler = "wr": did you mean "wrr"? must be one of ` + schedulers},
		{"scheduler of no likeness", `scheduler = "quantum"`, `4:13: scheduler = "quantum": must be one of ` + schedulers},
		{"scheduler of a direction", `scheduler = {up = "x"}`, `4:19: scheduler.up = "x": must be one of ` + schedulers},
		{"scheduler as a list", `scheduler = ["wrr"]`, `4:13: scheduler = ["wrr"]: must be one of ` + schedulers},
		{"reorder", `reorder = "sorted"`, `4:11: reorder = "sorted": must be one of ` + resequencers},
		{"rate control", `rate_control = "no"`, `4:16: rate_control = "no": must be true or false`},
		{"retransmit", `retransmit = 1`, `4:14: retransmit = 1: must be true or false`},
		{"equalize", `equalize = true`, `4:12: equalize = true: must be one of auto, on, off`},
		{"grace as a number", `grace = 600`, `4:9: grace = 600: must be a time in quotes, such as "10m" or "90s"`},
		{"grace without a unit", `grace = "600"`, `4:9: grace = "600": must be a time, such as "10m" or "90s"`},
		{"grace below zero", `grace = "-1s"`, `4:9: grace = "-1s": must be "0s".."168h"`},
		{"grace for ever", `grace = "9999h"`, `4:9: grace = "9999h": must be "0s".."168h"`},
		{"metrics without a port", "[metrics]\nlisten = \"9410\"", `5:10: metrics.listen = "9410": must be [address]:port, such as ":9410" for this host alone`},
		{"status socket", `status_socket = "s.sock"`, `4:17: status_socket = "s.sock": must be a path that begins with /`},
		{"long status socket", `status_socket = "/` + strings.Repeat("s", 99) + `"`, `4:17: status_socket = "/` + strings.Repeat("s", 55) + `...: has 100 bytes: the path of a socket can have 99`},
		{"state dir", `state_dir = ""`, `4:13: state_dir = "": must be a path that begins with /`},

		{"dns mode", `dns.mode = "on"`, `4:12: dns.mode = "on": must be one of auto, off`},
		{"name server by name", `dns.servers = ["dns.example.org"]`, `4:16: dns.servers[0] = "dns.example.org": must be an IP address, such as "192.0.2.1" or "2001:db8::1"`},
		{"name servers without dns", `dns = {mode = "off", servers = ["192.0.2.53"]}`, `4:32: dns.servers = ["192.0.2.53"]: has no meaning when dns.mode is "off"`},
		{"log level", `log.level = "warning"`, `4:13: log.level = "warning": must be one of debug, info, warn, error`},
		{"log format", `log.format = "xml"`, `4:14: log.format = "xml": must be one of text, json`},
		{"second way to give the key", `private_key_file = "key"`, `4:20: private_key_file = "key": private_key is set too: remove one of them`},
	})
}

func TestDeviceMistakes(t *testing.T) {
	mtus := fmt.Sprintf("%d..%d", wire.MinMTU, wire.MaxMTU)
	checkMistakes(t, []mistake{
		{"a value for a table", `tun = "multilink0"`, `4:7: tun = "multilink0": must be a table: [tun] with its keys below`},
		{"device", `tun.name = "multilink/0"`, `4:12: tun.name = "multilink/0": must be the name of an interface: no space, slash, colon or percent sign`},
		{"long device", `tun.name = "0123456789abcdef"`, `4:12: tun.name = "0123456789abcdef": must have at most 15 characters: that is the kernel's limit`},
		{"device of another meaning", `tun.name = "all"`, `4:12: tun.name = "all": must be another name, such as "multilink0"`},
		{"mtu", "[tun]\n\n\n  mtu     = 20", `7:13: tun.mtu = 20: must be ` + mtus},
		{"mtu as a string", `tun.mtu = "1400"`, `4:11: tun.mtu = "1400": must be a whole number, ` + mtus},
		{"mtu as a fraction", `tun.mtu = 1400.5`, `4:11: tun.mtu = 1400.5: must be a whole number, ` + mtus},
		{"mode", `tun.mode = "quick"`, `4:12: tun.mode = "quick": must be one of auto, fast, portable`},
		{"underlay mode", `underlay.mode = "fats"`, `4:17: underlay.mode = "fats": did you mean "fast"? must be one of auto, fast, portable`},
		{"family", `underlay.family = 4`, `4:19: underlay.family = 4: must be one of any, 4, 6`},

		{"allow", `interfaces.allow = "eth0"`, `4:20: interfaces.allow = "eth0": must be a list in brackets`},
		{"pattern", `interfaces.allow = ["eth0", "wlan["]`, `4:29: interfaces.allow[1] = "wlan[": must be a name or a pattern with * ? [a-z], such as "wlan*"`},
		{"empty pattern", `interfaces.deny = [""]`, `4:20: interfaces.deny[0] = "": must not be empty`},
		{"number as a pattern", `interfaces.deny = [1]`, `4:20: interfaces.deny[0] = 1: must be a string in quotes`},
		{"allowed and denied", `interfaces = {allow = ["wwan0"], deny = ["ww*"]}`, `4:24: interfaces.allow[0] = "wwan0": interfaces.deny has "ww*", which wins: remove one of them`},
		{"pattern allowed and denied", `interfaces = {allow = ["ww*"], deny = ["ww*"]}`, `4:24: interfaces.allow[0] = "ww*": interfaces.deny has "ww*", which wins`},
		{"all denied", `interfaces.deny = ["*"]`, `4:20: interfaces.deny[0] = "*": leaves no interface at all`},
	})
}

func TestRouteMistakes(t *testing.T) {
	checkMistakes(t, []mistake{
		{"default", `routes.default = "yes"`, `4:18: routes.default = "yes": must be true or false`},
		{"not a prefix", `routes.exclude = ["home"]`, `4:19: routes.exclude[0] = "home": must be a prefix, such as "192.0.2.0/24" or "2001:db8::/32"`},
		{"prefix without length", `routes.exclude = ["192.0.2.0"]`, `4:19: routes.exclude[0] = "192.0.2.0": must have a length: "192.0.2.0/32" for this address alone`},
		{"prefix with bits", `routes.exclude = ["192.0.2.1/24"]`, `4:19: routes.exclude[0] = "192.0.2.1/24": has bits behind its length: must be "192.0.2.0/24", or another length`},
		{"two wrong prefixes", "routes.exclude = [\n\"a\",\n# and\n\"b\"]", `7:1: routes.exclude[1] = "b": must be a prefix`},
		{"include with default", `routes.include = ["192.0.2.0/24"]`, `4:18: routes.include = ["192.0.2.0/24"]: has no meaning when routes.default is true: everything goes through the tunnel already`},
		{"exclude all", `routes.exclude = ["::/0"]`, `4:19: routes.exclude[0] = "::/0": leaves nothing for the tunnel: set routes.default to false instead`},
		{"include and exclude", `routes = {default = false, include = ["192.0.2.0/24"], exclude = ["192.0.2.0/24"]}`, `4:67: routes.exclude[0] = "192.0.2.0/24": routes.include has the same prefix: remove one of them`},
		{"mark", `routes.mark = 0`, `4:15: routes.mark = 0: must be 1..4294967295`},
		{"table", `routes.table = -1`, `4:16: routes.table = -1: must be 1..2147483647`},
		{"main table", `routes.table = 254`, `4:16: routes.table = 254: must not be 253, 254 or 255, which are the host's own (default, main, local)`},
		{"kill switch without default", "kill_switch = true\nroutes.default = false", `4:15: kill_switch = true: needs routes.default = true: it would cut off what does not go through the tunnel`},
	})
}

// checkMistakes reads a client's configuration with each of the lines.
func checkMistakes(t *testing.T, tests []mistake) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := config.ParseClient("client.toml", []byte(clientHead+tt.line+"\n"))
			checkMistake(t, err, "client.toml:"+tt.want)
		})
	}
}

func checkMistake(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestClientHeadMistakes(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"no server", `server = "vpn.example.org"`, "", `client.toml: server is missing: add server = "vpn.example.org"`},
		{"no server key", `server_key = "` + otherPublic + `"`, "", `client.toml: server_key is missing: add server_key = "..." with what 'multilink keygen' printed as public_key on the server`},
		{"no private key", `private_key = "` + testPrivate + `"`, "", `client.toml: private_key is missing: add private_key = "..." with what 'multilink keygen' printed, or private_key_file`},
		{"server as a number", `"vpn.example.org"`, "5", `client.toml:1:10: server = 5: must be host[:port], such as`},
		{"port", "vpn.example.org", "vpn.example.org:0", `client.toml:1:10: server = "vpn.example.org:0": the port behind the colon must be 1..65535`},
		{"short server key", otherPublic, "abc", `client.toml:2:14: server_key = "abc": 3 characters: a key has 44 (32 bytes in base64)`},
		{"short private key", testPrivate, "secret", `client.toml:3:15: private_key: 6 characters: a key has 44 (32 bytes in base64)`},
		{"private key as a number", `"` + testPrivate + `"`, "123456", `client.toml:3:15: private_key: must be a string in quotes`},
		{"own key as the server's", otherPublic, testPublic, `client.toml:2:14: server_key = "` + testPublic + `": belongs to this client's own private key: must be the server's public key`},
		{"family of the server", `"vpn.example.org"`, `"192.0.2.1"` + "\nunderlay.family = \"6\"", `client.toml:2:19: underlay.family = "6": server = "192.0.2.1" is of the other family`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := config.ParseClient("client.toml", []byte(strings.Replace(clientHead, tt.old, tt.new, 1)))
			checkMistake(t, err, tt.want)
			if err != nil && (strings.Contains(err.Error(), `"secret"`) || strings.Contains(err.Error(), "123456")) {
				t.Errorf("the private key shows: %v", err)
			}
		})
	}
}
