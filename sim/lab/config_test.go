package lab

import (
	"os"
	"reflect"
	"testing"

	"github.com/pelletier/go-toml/v2"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

func TestClientConfiguration(t *testing.T) {
	f := files{"/run/x"}
	sc := &scenario.Scenario{Underlay: scenario.Underlay6, Client: map[string]any{
		"scheduler": "minrtt",
		"dns":       map[string]any{"servers": []any{"198.18.0.2"}},
		"tun":       map[string]any{"mtu": uint64(1300)},
	}}
	text, err := renderTOML(clientKeys(sc, f, "KEY", map[string]any{"scheduler": "wrr"}))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := toml.Unmarshal(text, &got); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	want := map[string]any{
		"server": "[2001:db8:ffff::2]:5410", "server_key": "KEY", "scheduler": "wrr",
		"private_key_file": "/run/x/private.key", "status_socket": "/run/x/status.sock", "state_dir": "/run/x", "usage_file": "/run/x/usage.json",
		"dns": map[string]any{"mode": "off", "servers": []any{"198.18.0.2"}},
		"tun": map[string]any{"mtu": int64(1300)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if sc.Client["scheduler"] != "minrtt" {
		t.Error("the scenario's own keys were changed")
	}
}

func TestServerAddressOfAnUnderlay(t *testing.T) {
	for underlay, want := range map[scenario.Underlay]string{
		scenario.Underlay4: "192.0.2.2:5410", scenario.UnderlayBoth: "server.test:5410",
	} {
		keys := clientKeys(&scenario.Scenario{Underlay: underlay}, files{}, "")
		if keys["server"] != want {
			t.Errorf("underlay %s: server %v, want %s", underlay, keys["server"], want)
		}
	}
}

func TestServerConfiguration(t *testing.T) {
	sc := &scenario.Scenario{Server: map[string]any{"listen": ":6000"}}
	keys := serverKeys(sc, files{"/run/x"}, "PUBLIC")
	clients := keys["clients"].([]any)
	if keys["listen"] != ":6000" || clients[0].(map[string]any)["public_key"] != "PUBLIC" {
		t.Errorf("%v", keys)
	}
}

func TestClientMark(t *testing.T) {
	for want, routes := range map[uint32]any{
		defaultMark: nil,
		7:           map[string]any{"mark": int64(7)},
		8:           map[string]any{"mark": uint64(8)},
		9:           map[string]any{"mark": 9.0}, // from JSON
	} {
		sc := &scenario.Scenario{Client: map[string]any{"routes": routes}}
		if got := clientMark(sc); got != want {
			t.Errorf("routes %v: mark %#x, want %#x", routes, got, want)
		}
	}
}

func TestByName(t *testing.T) {
	got := byName(map[string]any{
		"links":   []any{map[string]any{"name": "a", "x": 1.0}, map[string]any{"name": "b"}},
		"numbers": []any{1.0, 2.0},
		"none":    []any{},
	})
	want := map[string]any{
		"links":   map[string]any{"a": map[string]any{"name": "a", "x": 1.0}, "b": map[string]any{"name": "b"}},
		"numbers": []any{1.0, 2.0},
		"none":    []any{},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestPrivateFiles(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // a second start uses the same folder
		if _, err := privateFiles(dir, "nameserver 198.18.0.1\n", "127.0.0.1 localhost\n"); err != nil {
			t.Fatal(err)
		}
	}
	real, err := os.ReadDir("/etc")
	if err != nil {
		t.Fatal(err)
	}
	private, err := os.ReadDir(dir + "/etc")
	if err != nil {
		t.Fatal(err)
	}
	if len(private) < len(real) {
		t.Errorf("%d entries, /etc has %d", len(private), len(real))
	}
	if text, _ := os.ReadFile(dir + "/etc/resolv.conf"); string(text) != "nameserver 198.18.0.1\n" {
		t.Errorf("resolv.conf reads %q", text)
	}
}
