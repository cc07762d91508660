package engine

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// flatten lists the dotted names of a decoded status, in the form of
// StatusNames.
func flatten(v any, path string, visit func(string)) {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			switch {
			case path == "rejected_interfaces":
				name = "*"
			}
			if path != "" {
				name = path + "." + name
			}
			flatten(value, name, visit)
		}
	case []any:
		for _, e := range v {
			if _, ok := e.(map[string]any); ok {
				flatten(e, path+".*", visit)
				continue
			}
			visit(path)
		}
	default:
		visit(path)
	}
}

func TestStatusNames(t *testing.T) {
	w, key := newWorld(t), newKey(t)
	server := w.server(nil, key)
	client := w.client(key, nil, iface("wlan0", 1))
	client.waitLinks("wlan0")
	for role, status := range map[string]Status{roleClient: client.Status(), roleServer: server.Status()} {
		text, err := json.Marshal(status)
		if err != nil {
			t.Fatal(err)
		}
		var decoded any
		if err := json.Unmarshal(text, &decoded); err != nil {
			t.Fatal(err)
		}
		known := StatusNames(role)
		flatten(decoded, "", func(name string) {
			if _, ok := slices.BinarySearch(known, name); !ok {
				t.Errorf("%s: %s is in the status, but not in StatusNames", role, name)
			}
		})
	}
	for role, names := range map[string][]string{
		roleClient: {"state", "session.mtu", "session.counters.rx_packets", "links.*.srtt", "links.*.underlay.mode", "links.*.last_error",
			"rejected_interfaces.*", "counters.drop_auth", "counters.tun_write_down", "counters.udp_write_too_big", "counters.drop_no_session"},
		roleServer: {"listen", "clients.*.key", "clients.*.links.*.rx_loss", "clients.*.client_id", "counters.drop_spoofed", "counters.control_unknown_client"},
	} {
		for _, name := range names {
			if !slices.Contains(StatusNames(role), name) {
				t.Errorf("%s: %s is missing", role, name)
			}
		}
	}
	for _, name := range StatusNames(roleClient) {
		if strings.HasPrefix(name, "clients") || name == "counters.drop_spoofed" {
			t.Errorf("a client has no %s", name)
		}
	}
}

func TestStatusSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "s.sock")
	log := newLog(t, "socket").logger
	open := func() (*statusSocket, error) {
		return openStatusSocket(path, func() Status { return Status{Role: "client", State: Up} }, nil, new(events), log)
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	client := http.Client{Transport: OverStatusSocket(path)}
	response, err := client.Get("http://multilink/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if !strings.Contains(string(body), `"state":"up"`) {
		t.Errorf("it says %s", body)
	}
	if _, err := open(); err == nil || !strings.Contains(err.Error(), "is in use: another multilink") {
		t.Errorf("a second one: %v", err)
	}
	s.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}

	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	s, err = open()
	if err != nil {
		t.Fatalf("a socket that a dead process left: %v", err)
	}
	s.Close()
}
