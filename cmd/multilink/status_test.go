package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/core/engine"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/underlay"
)

func TestFindSocket(t *testing.T) {
	dir := t.TempDir()
	if _, err := findSocket("", dir); err == nil || !strings.Contains(err.Error(), "no multilink client or server is running") {
		t.Errorf("nothing runs: %v", err)
	}
	dead := listen(t, filepath.Join(dir, "dead.sock"))
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := findSocket("", dir); err == nil || !strings.Contains(err.Error(), "its process was killed") {
		t.Errorf("one was killed: %v", err)
	}
	one := filepath.Join(dir, "one.sock")
	listen(t, one)
	if got, err := findSocket("", dir); err != nil || got != one {
		t.Errorf("one runs: %q, %v", got, err)
	}
	if got, err := findSocket("/given", dir); err != nil || got != "/given" {
		t.Errorf("given: %q, %v", got, err)
	}
	two := filepath.Join(dir, "two.sock")
	listen(t, two)
	if _, err := findSocket("", dir); err == nil || !strings.Contains(err.Error(), one+", "+two) {
		t.Errorf("two run: %v", err)
	}
	removed, err := removeDeadSockets(dir)
	if err != nil || len(removed) != 1 || filepath.Base(removed[0]) != "dead.sock" {
		t.Errorf("removed %v, %v", removed, err)
	}
}

func listen(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestShowText(t *testing.T) {
	status := engine.Status{
		Role: "client", Version: "v1", PID: 7, State: engine.Up, Uptime: 3661,
		TUN: engine.TUNStatus{Name: "multilink0"},
		Session: &engine.SessionStatus{
			ID: "abc", Addresses: []string{"10.8.0.2/24"}, MTU: 1400, Suite: "aes-128-gcm", Scheduler: "wrr", Reorder: "global", Equalize: "auto",
			Counters: session.Counters{RxBytes: 5 << 20, TxBytes: 100},
		},
		Links: []engine.LinkStatus{{
			Link:    session.Link{Name: "wlan0", State: "up", Role: "active", Remote: "192.0.2.1:5410", SRTT: 0.0201, Rate: 48.1e6, Loss: 0.005},
			Address: "10.0.0.2:40000", Control: "up", LastError: "was down",
			Underlay: underlay.Info{Mode: underlay.ModeFast, Reason: "no GSO"},
		}},
		Rejected: map[string]string{"docker0": "is a bridge"},
		Counters: engine.Counters{"drop_auth": 3, "drop_replay": 0, "rx_packets": 9},
	}
	var text strings.Builder
	if err := showText(&text, status); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"client: multilink0\n", "state: up\n", "running: 1h1m1s, pid 7, version v1", "10.8.0.2/24, mtu 1400",
		"scheduler wrr, reorder global", "5.00 MiB received, 100 B sent", "link: wlan0\n", "up (active), control up",
		"10.0.0.2:40000 -> 192.0.2.1:5410", "rtt: 20.1 ms", "rate: 48.1 Mbit/s", "loss: 0.5 % sending",
		"last error: was down", "socket: fast: no GSO\n", "not used: docker0: is a bridge", "dropped: drop_auth 3\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}
