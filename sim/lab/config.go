package lab

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

	"github.com/pelletier/go-toml/v2"

	"github.com/multilink-vpn/multilink/sim/report"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// defaultMark is the product's mark of its own packets, which its routing
// rules leave alone.
const defaultMark = 0x4d4c

// files are where one program of the product has its files.
type files struct{ folder string }

func (f files) config() string { return filepath.Join(f.folder, "config.toml") }
func (f files) key() string    { return filepath.Join(f.folder, "private.key") }
func (f files) socket() string { return filepath.Join(f.folder, "status.sock") }
func (f files) usage() string  { return filepath.Join(f.folder, "usage.json") }
func (f files) log() string    { return filepath.Join(f.folder, "output.log") }

// serverAddress is the server's address in a family.
func serverAddress(family int) netip.Addr {
	if family == 4 {
		return server4.Addr()
	}
	return server6.Addr()
}

// clientKeys is the client's configuration: what the testbed needs, and over
// it what the scenario says.
func clientKeys(sc *scenario.Scenario, f files, serverKey string, over ...map[string]any) map[string]any {
	server := serverName
	if fams := families(sc.Underlay); len(fams) == 1 {
		server = serverAddress(fams[0]).String()
	}
	keys := map[string]any{
		"server":           net.JoinHostPort(server, strconv.Itoa(serverPort)),
		"server_key":       serverKey,
		"private_key_file": f.key(),
		"status_socket":    f.socket(),
		"state_dir":        f.folder,
		"usage_file":       f.usage(),
		"dns":              map[string]any{"mode": "off"},
	}
	for _, o := range append([]map[string]any{sc.Client}, over...) {
		keys = scenario.Overlay(keys, o)
	}
	return keys
}

// serverKeys is the server's configuration, likewise.
func serverKeys(sc *scenario.Scenario, f files, clientKey string) map[string]any {
	return scenario.Overlay(map[string]any{
		"listen":           ":" + strconv.Itoa(serverPort),
		"private_key_file": f.key(),
		"status_socket":    f.socket(),
		"state_dir":        f.folder,
		"dns":              []any{hostAddress(1, 4).String()},
		"clients":          []any{map[string]any{"name": "client", "public_key": clientKey}},
	}, sc.Server)
}

// renderTOML writes a configuration as the product reads it.
func renderTOML(keys map[string]any) ([]byte, error) {
	text, err := toml.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return text, nil
}

// clientMark is the mark in use, which traffic past the tunnel carries.
func clientMark(sc *scenario.Scenario) uint32 {
	routes, _ := sc.Client["routes"].(map[string]any)
	if mark, ok := report.Number(routes["mark"]); ok {
		return uint32(mark)
	}
	return defaultMark
}
