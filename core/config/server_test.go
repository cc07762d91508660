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

// serverHead is what every server's configuration needs, in one line.
const serverHead = `private_key = "` + testPrivate + `"
`

// serverTail are its clients.
const serverTail = `
[[clients]]
name = "laptop"
public_key = "` + otherPublic + `"
`

func TestServerDefaults(t *testing.T) {
	got, warnings, err := config.ParseServer("server.toml", []byte(serverHead+serverTail))
	if err != nil || len(warnings) != 0 {
		t.Fatalf("%v, %v", warnings, err)
	}
	want := &config.Server{
		Listen:     netip.AddrPortFrom(netip.Addr{}, 5410),
		PrivateKey: mustPrivate(t, testPrivate),
		Clients:    []config.ServerClient{{Name: "laptop", PublicKey: mustPublic(t, otherPublic)}},
		MaxClients: 253,
		Pool4:      netip.MustParsePrefix("10.8.0.0/24"),
		Pool6:      netip.MustParsePrefix("fd4d:4c::/64"),
		Masquerade: true,
		Strategy: control.Strategy{
			Scheduler: both(sched.Default), Reorder: both(reseq.Default),
			RateControl: true, Retransmit: true, Equalize: "auto", Reports: "auto", Classifier: "rtp",
		},
		AllowClientStrategy: true,
		AllowQoS:            true,
		TUN:                 config.TUN{Name: "multilink0", MTU: 1400, Mode: "auto"},
		Underlay:            config.Underlay{Mode: "auto", Family: "any"},
		Grace:               10 * time.Minute,
		Log:                 config.Log{Level: "info", Format: "text"},
		StatusSocket:        "/run/multilink/multilink0.sock",
		StateDir:            "/var/lib/multilink",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestServerWithEverything(t *testing.T) {
	got, _, err := config.ParseServer("server.toml", []byte(serverHead+`
listen = "[2001:db8::1]:99"
mtu = 1290
dns = ["192.0.2.53"]
uplink = "eth0"
masquerade = false
client_to_client = true
max_clients = 2
allow_client_strategy = false
scheduler = "minrtt"
grace = "0s"
addresses = {pool4 = "10.9.0.0/29", pool6 = ""}
tun = {name = "ml", mode = "fast"}
underlay.mode = "portable"
log.level = "error"
state_dir = "/s"
[[clients]]
name = "a.b-c_D9"
public_key = "`+otherPublic+`"
address4 = "10.9.0.2"
[[clients]]
name = "b"
public_key = "`+thirdPublic+`"
address4 = "10.9.0.6"
`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Listen.String() != "[2001:db8::1]:99" || got.TUN != (config.TUN{Name: "ml", MTU: 1290, Mode: "fast"}) ||
		got.Uplink != "eth0" || got.Masquerade || !got.ClientToClient || got.MaxClients != 2 || got.AllowClientStrategy ||
		got.Strategy.Scheduler != both("minrtt") || got.Grace != 0 || got.Pool6.IsValid() || got.Pool4.Bits() != 29 ||
		got.Underlay.Mode != "portable" || got.StateDir != "/s" || got.StatusSocket != "/run/multilink/ml.sock" || len(got.DNS) != 1 {
		t.Errorf("got %+v", got)
	}
	if len(got.Clients) != 2 || got.Clients[1].Address4 != netip.MustParseAddr("10.9.0.6") || got.Clients[1].Name != "b" {
		t.Errorf("clients %+v", got.Clients)
	}
}

func TestServerWithoutClientsIsWarnedAbout(t *testing.T) {
	_, warnings, err := config.ParseServer("server.toml", []byte(serverHead))
	if err != nil || len(warnings) != 1 || warnings[0].String() != "server.toml: no [[clients]]: nobody can connect" {
		t.Errorf("%v, %v", warnings, err)
	}
}

// serverMistake is something wrong in a configuration that is right without it: below
// serverHead, or behind serverTail.
type serverMistake struct{ name, head, tail, want string }

// secondClient is right behind serverTail.
const secondClient = "[[clients]]\nname = \"b\"\npublic_key = \"" + thirdPublic + "\"\n"

func checkServerMistakes(t *testing.T, tests []serverMistake) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head := serverHead
			if tt.head != "" {
				head += tt.head + "\n"
			}
			_, _, err := config.ParseServer("server.toml", []byte(head+strings.TrimPrefix(serverTail, "\n")+tt.tail+"\n"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestServerMistakes(t *testing.T) {
	checkServerMistakes(t, []serverMistake{
		{"listen", `listen = "eth0:5410"`, "", `2:10: listen = "eth0:5410": must be [address]:port, such as ":5410", "192.0.2.1:5410" or "[2001:db8::1]:5410"`},
		{"listen without a port", `listen = "192.0.2.1"`, "", `2:10: listen = "192.0.2.1": must be [address]:port`},
		{"listen as a number", `listen = 5410`, "", `2:10: listen = 5410: must be [address]:port`},
		{"port 0", `listen = ":0"`, "", `2:10: listen = ":0": the port must be 1..65535: clients must know it`},
		{"port 65536", `listen = ":65536"`, "", `2:10: listen = ":65536": must be [address]:port`},
		{"mtu", `mtu = 20`, "", fmt.Sprintf(`2:7: mtu = 20: must be %d..%d`, wire.MinMTU, wire.MaxMTU)},
		{"mtu in the table of the client", `tun.mtu = 1400`, "", `2:5: unknown key "tun.mtu": "mtu" belongs at the top of the file, above the first [table]`},
		{"dns", `dns = ["8.8.8"]`, "", `2:8: dns[0] = "8.8.8": must be an IP address`},
		{"uplink", `uplink = "eth 0"`, "", `2:10: uplink = "eth 0": must be the name of an interface`},
		{"uplink is the tunnel", `uplink = "multilink0"`, "", `2:10: uplink = "multilink0": is the tunnel itself (tun.name): must be the interface that leads to the internet`},
		{"masquerade", `masquerade = "eth0"`, "", `2:14: masquerade = "eth0": must be true or false`},
		{"policy", `allow_client_strategy = 1`, "", `2:25: allow_client_strategy = 1: must be true or false`},
		{"max clients", `max_clients = 0`, "", `2:15: max_clients = 0: must be 1..100000`},
		{"more clients than addresses", `max_clients = 254`, "", `2:15: max_clients = 254: addresses.pool4 = "10.8.0.0/24" has room for 253`},
		{"a key of the client", `kill_switch = true`, "", `2:1: unknown key "kill_switch": a client has it: this is read as the configuration of the other end`},
		{"family", `underlay.family = "4"`, "", `2:10: unknown key "underlay.family": known here: mode`},
	})
}

func TestPoolMistakes(t *testing.T) {
	checkServerMistakes(t, []serverMistake{
		{"pool of the wrong family", `addresses.pool4 = "fd00::/64"`, "", `2:19: addresses.pool4 = "fd00::/64": must be a prefix of IPv4`},
		{"pool of the wrong family 6", `addresses.pool6 = "10.0.0.0/8"`, "", `2:19: addresses.pool6 = "10.0.0.0/8": must be a prefix of IPv6`},
		{"tiny pool", `addresses.pool4 = "10.8.0.0/31"`, "", `2:19: addresses.pool4 = "10.8.0.0/31": must have a length of /8../30`},
		{"pool with bits", `addresses.pool4 = "10.8.0.1/24"`, "", `2:19: addresses.pool4 = "10.8.0.1/24": has bits behind its length: must be "10.8.0.0/24", or another length`},
		{"no pool", `addresses = {pool4 = "", pool6 = ""}`, "", `2:34: addresses.pool6 = "": pool4 is empty too: clients need addresses of at least one family`},
		{"pool too small", `addresses.pool4 = "10.8.0.0/30"`, secondClient, `2:19: addresses.pool4 = "10.8.0.0/30": has room for 1, [[clients]] lists 2: use a larger pool`},
		{"pool 6 too small", `addresses.pool6 = "fd00::/126"`, secondClient + strings.NewReplacer(`"b"`, `"c"`, thirdPublic, "RHV0LXRoZS1rZXktb2YteW91ci1tb2JpbGUtaGVyZSE=").Replace(secondClient), `2:19: addresses.pool6 = "fd00::/126": has room for 2, [[clients]] lists 3: use a larger pool`},
	})
}

func TestClientTableMistakes(t *testing.T) {
	checkServerMistakes(t, []serverMistake{
		{"clients as a table", "", "[[clients]]\n[clients2]\n", `unknown key "clients2": did you mean "clients"?`},
		{"client without a name", "", "[[clients]]\npublic_key = \"" + thirdPublic + "\"", `5:3: clients[1].name is missing: add name = "laptop"`},
		{"client without a key", "", "[[clients]]\nname = \"x\"", `5:3: clients[1].public_key is missing: add public_key = "..." with what 'multilink keygen' printed on the client`},
		{"name of a client", "", strings.Replace(secondClient, `"b"`, `"b b"`, 1), `6:8: clients[1].name = "b b": must be 1 to 63 letters, digits, dots, dashes and underscores, and begin with a letter or digit`},
		{"name twice", "", strings.Replace(secondClient, `"b"`, `"laptop"`, 1), `6:8: clients[1].name = "laptop": clients[0] has the same: every client needs its own`},
		{"key twice", "", strings.Replace(secondClient, thirdPublic, otherPublic, 1), `7:14: clients[1].public_key = "` + otherPublic + `": clients[0] has the same: every client needs its own`},
		{"key of the server", "", strings.Replace(secondClient, thirdPublic, testPublic, 1), `7:14: clients[1].public_key = "` + testPublic + `": belongs to this server's own private key: must be the client's public key`},
		{"key", "", strings.Replace(secondClient, thirdPublic, "x", 1), `7:14: clients[1].public_key = "x": 1 characters: a key has 44 (32 bytes in base64)`},
		{"unknown key of a client", "", secondClient + `adress4 = "10.8.0.9"`, `8:1: unknown key "clients[1].adress4": did you mean "clients[1].address4"?`},
		{"address outside", "", secondClient + `address4 = "10.9.0.2"`, `8:12: clients[1].address4 = "10.9.0.2": must be in addresses.pool4 = "10.8.0.0/24"`},
		{"address of the server", "", secondClient + `address4 = "10.8.0.1"`, `8:12: clients[1].address4 = "10.8.0.1": is the server's own: must be another`},
		{"address of the pool", "", secondClient + `address6 = "fd4d:4c::"`, `8:12: clients[1].address6 = "fd4d:4c::": is the address of addresses.pool6 = "fd4d:4c::/64" itself: must be another`},
		{"broadcast address", "", secondClient + `address4 = "10.8.0.255"`, `8:12: clients[1].address4 = "10.8.0.255": is the broadcast address of the pool: must be another`},
		{"address of the other family", "", secondClient + `address6 = "10.8.0.9"`, `8:12: clients[1].address6 = "10.8.0.9": must be an address of IPv6`},
		{"address without a pool", `addresses.pool6 = ""`, secondClient + `address6 = "fd00::9"`, `9:12: clients[1].address6 = "fd00::9": there is no addresses.pool6 to take it from`},
		{"address with a length", "", secondClient + `address4 = "10.8.0.9/24"`, `8:12: clients[1].address4 = "10.8.0.9/24": must be an IP address`},
	})
	t.Run("one client as a table", func(t *testing.T) {
		_, _, err := config.ParseServer("server.toml", []byte(serverHead+"[clients]\nname = \"x\"\n"))
		want := `server.toml:2:2: clients = {...}: must be a list of tables: [[clients]] with its keys below, once for each`
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
	t.Run("address twice", func(t *testing.T) {
		tail := strings.TrimPrefix(serverTail, "\n") + "address4 = \"10.8.0.9\"\n" + secondClient + "address4 = \"10.8.0.9\"\n"
		_, _, err := config.ParseServer("server.toml", []byte(serverHead+tail))
		want := `server.toml:9:12: clients[1].address4 = "10.8.0.9": clients[0] has the same: every client needs its own`
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	})
}
