package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/config"
)

func TestCheckKeys(t *testing.T) {
	tests := []struct {
		name string
		keys map[string]any
		want string
	}{
		{"none", nil, ""},
		{"some", map[string]any{"scheduler": "minrtt", "tun": map[string]any{"mtu": uint64(1300)}, "interfaces": map[string]any{"allow": []any{"eth*"}}}, ""},
		{"per direction", map[string]any{"scheduler": map[string]any{"up": "wrr"}}, ""},
		{"typo", map[string]any{"shceduler": "wrr"}, `unknown key "shceduler": did you mean "scheduler"?`},
		{"value", map[string]any{"tun": map[string]any{"mtu": 20}}, `tun.mtu = 20: must be `},
		{"null", map[string]any{"tun": map[string]any{"mtu": nil}}, `tun.mtu = null: must have a value, or be left out`},
		{"type", map[string]any{"dns": map[string]any{"servers": []any{struct{}{}}}}, `dns.servers[0] = {}: a struct {} has no place in a configuration`},
		{"too large", map[string]any{"mtu": uint64(1) << 63}, `cannot be written as TOML`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := config.CheckClientKeys(tt.keys)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	if err := config.CheckServerKeys(map[string]any{"mtu": 1300, "client_to_client": true}); err != nil {
		t.Error(err)
	}
	err := config.CheckServerKeys(map[string]any{"mtu": 1, "kill_switch": true})
	var list config.Errors
	if !errors.As(err, &list) || len(list) != 2 || list[0].Key != "kill_switch" || list[1].Key != "mtu" || list[1].File != "" || list[1].Line != 0 {
		t.Errorf("got %v", err)
	}
}

func TestRenderIsReadAgain(t *testing.T) {
	keys := map[string]any{
		"server": "192.0.2.1:5410", "server_key": otherPublic, "private_key": testPrivate,
		"scheduler": "minrtt", "rate_control": false,
		"tun":    map[string]any{"mtu": 1300},
		"routes": map[string]any{"exclude": []any{"192.0.2.0/24"}},
	}
	data, err := config.RenderClient(keys)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := config.ParseClient("rendered", data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if c.TUN.MTU != 1300 || c.Strategy.Scheduler != both("minrtt") || c.Strategy.RateControl || len(c.Routes.Exclude) != 1 {
		t.Errorf("%+v", c)
	}
	again, err := config.RenderClient(keys)
	if err != nil || string(again) != string(data) {
		t.Errorf("rendered differently the second time: %v\n%s\n%s", err, data, again)
	}
	data, err = config.RenderServer(map[string]any{
		"private_key": testPrivate,
		"clients":     []any{map[string]any{"name": "a", "public_key": otherPublic}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := config.ParseServer("rendered", data)
	if err != nil || len(s.Clients) != 1 || s.Clients[0].Name != "a" {
		t.Errorf("%+v, %v\n%s", s, err, data)
	}
}

// FuzzParse checks that no file makes the readers panic, that errors have a
// place in the file, and that what is accepted is accepted again.
func FuzzParse(f *testing.F) {
	f.Add(clientHead + "tun.mtu = 1300\n[routes]\nexclude = [\"192.0.2.0/24\"]")
	f.Add(serverHead + serverTail)
	f.Add("[[clients]]\n[clients.x]\n[[clients.y]]\na = {b = [{c = 1}, [2]]}")
	f.Add("clients = [1]\ntun = 1\n\"\" = 1\nscheduler = {up = {}}")
	f.Fuzz(func(t *testing.T, text string) {
		lines := strings.Count(text, "\n") + 1
		check := func(err error) {
			var list config.Errors
			if err != nil && !errors.As(err, &list) {
				t.Fatalf("an error of another kind: %v", err)
			}
			for _, e := range list {
				if e.Error() == "" || e.Line > lines || (e.Line > 0) != (e.Column > 0) {
					t.Errorf("%+v", e)
				}
			}
		}
		_, _, err := config.ParseClient("c", []byte(text))
		check(err)
		_, _, err = config.ParseServer("s", []byte(text))
		check(err)
	})
}
