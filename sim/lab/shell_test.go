package lab

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// A shell on the client sees the client's interfaces, a resolv.conf of its own
// and the hosts' services, and everything is gone when it ends.
func TestShell(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	script := filepath.Join(dir, "shell")
	text := "#!/bin/sh\ncat /proc/net/dev /etc/resolv.conf /etc/hosts > " + dir + "/seen\n" +
		"echo \"$MULTILINK_SOCKET\" >> " + dir + "/seen\nexit 3\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SHELL", script)
	sc := parse(t, withProduct)
	err := Shell(context.Background(), sc, Options{Impair: impairUser, Binary: asProduct(t, fakeWell), Log: testLog{t}})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := os.ReadFile(filepath.Join(dir, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"wlan0:", "nameserver 198.18.0.1", "192.0.2.2 server.test", "/client/status.sock"} {
		if !strings.Contains(string(seen), want) {
			t.Errorf("the shell did not see %q in:\n%s", want, seen)
		}
	}
	if left := leftovers(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// The NAT of a link hides the client: the host sees the router's address.
func TestRouterMasquerades(t *testing.T) {
	needRoot(t)
	for nat, want := range map[string]string{"true": "203.0.113.2", "false": "10.100.0.2"} {
		sc := parse(t, `
name: masquerade
links: [{name: wlan0, nat: `+nat+`}]
traffic: [{name: echo, kind: ping, duration: 1s, via: "link:wlan0"}]
`)
		r := newRun(sc, Options{Impair: impairUser}, sc.Name)
		err := r.within(context.Background(), func() error {
			got, err := sourceSeen(r.topology)
			if got != want {
				t.Errorf("nat: %s: the host sees %s, want %s", nat, got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// sourceSeen sends a datagram from the client to host 1 and returns the
// address that it comes from.
func sourceSeen(t *topology) (string, error) {
	address := hostAddress(1, 4).String() + ":7"
	var at net.PacketConn
	err := nsdo.In(t.hosts[0].ns, func() (err error) {
		at, err = net.ListenPacket("udp4", address)
		return err
	})
	if err != nil {
		return "", err
	}
	defer at.Close()
	err = nsdo.In(t.client.ns, func() error {
		conn, err := net.Dial("udp4", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Write([]byte("hello"))
		return err
	})
	if err != nil {
		return "", err
	}
	_ = at.SetReadDeadline(time.Now().Add(time.Minute))
	_, from, err := at.ReadFrom(make([]byte, 16))
	if err != nil {
		return "", err
	}
	return from.(*net.UDPAddr).IP.String(), nil
}
