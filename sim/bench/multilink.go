package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pelletier/go-toml/v2"
	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/program"
)

// multilinkSpec says which of several tunnels of the product side by side one
// is, and how it is set.
type multilinkSpec struct {
	name   string
	number int // of its port, its pool and its devices
	links  int
	client map[string]any // more of its configuration
}

// startMultilink starts a server and a client of the product.
func startMultilink(ctx context.Context, w *world, binary, folder string, spec multilinkSpec) (*tunnel, error) {
	folder = filepath.Join(folder, fmt.Sprintf("multilink%d", spec.number))
	t := &tunnel{
		name:   spec.name,
		world:  w,
		client: netip.AddrFrom4([4]byte{10, 80, byte(spec.number), 2}),
		server: netip.AddrFrom4([4]byte{10, 80, byte(spec.number), 1}),
	}
	serverKey, err := keygen(ctx, binary, filepath.Join(folder, "server"))
	if err != nil {
		return nil, err
	}
	clientKey, err := keygen(ctx, binary, filepath.Join(folder, "client"))
	if err != nil {
		return nil, err
	}
	port := 5410 + spec.number
	device := fmt.Sprintf("ml%d", spec.number)
	server := map[string]any{
		"listen":    fmt.Sprintf(":%d", port),
		"addresses": map[string]any{"pool4": netip.PrefixFrom(t.server, 24).Masked().String()},
		"tun":       map[string]any{"name": device},
		"clients":   []any{map[string]any{"name": "bench", "public_key": clientKey}},
	}
	var allow []string
	for i := range spec.links {
		allow = append(allow, cableName(i))
	}
	client := map[string]any{
		"server": fmt.Sprintf("%s:%d", serverHost, port), "server_key": serverKey,
		"tun":        map[string]any{"name": device},
		"interfaces": map[string]any{"allow": allow},
		"routes":     map[string]any{"default": false, "mark": 0x4d00 + spec.number, "table": 0x4d00 + spec.number},
		"dns":        map[string]any{"mode": "off"},
	}
	for key, value := range spec.client {
		client[key] = value
	}
	for _, end := range []struct {
		name string
		keys map[string]any
	}{{"server", server}, {"client", client}} {
		ns := w.server
		if end.name == "client" {
			ns = w.client
		}
		socket := filepath.Join(folder, end.name, "status.sock")
		end.keys["status_socket"] = socket
		t.sockets = append(t.sockets, socket)
		p, err := startEnd(ns, binary, filepath.Join(folder, end.name), end.name, end.keys)
		if err != nil {
			t.close()
			return nil, err
		}
		t.programs = append(t.programs, p)
	}
	return t, nil
}

// startEnd starts one end with its configuration and state in folder.
func startEnd(ns netns.NsHandle, binary, folder, end string, keys map[string]any) (*program.Program, error) {
	keys["private_key_file"] = keyFile(folder)
	keys["state_dir"] = folder
	text, err := toml.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("configuration of the %s: %w", end, err)
	}
	config := filepath.Join(folder, "config.toml")
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return nil, err
	}
	return startProgram(ns, folder, end, exec.Command(binary, end, "--config", config))
}

// keygen makes a private key in folder, which it makes too, and returns the
// public one.
func keygen(ctx context.Context, binary, folder string) (string, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	return program.Keygen(ctx, nil, binary, keyFile(folder))
}

func keyFile(folder string) string { return filepath.Join(folder, "private.key") }
