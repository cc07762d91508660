package lab

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sys/unix"
)

// fakeVariable makes the test program a fake of the product; its value is how
// the client behaves.
const fakeVariable = "MULTILINK_SIM_FAKE"

// The ways a fake client behaves.
const (
	fakeWell   = "well"
	fakeStuck  = "stuck"  // never up
	fakeCrash  = "crash"  // ends by itself soon after it is up
	fakeDeaf   = "deaf"   // does not end on TERM
	fakeRefuse = "refuse" // ends at once, with a message
	fakeLate   = "late"   // up at once, its links when asked for the fifth time
)

// asProduct makes the test program the product's binary for a test.
func asProduct(t *testing.T, how string) string {
	t.Helper()
	t.Setenv(fakeVariable, how)
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// fakeProduct is the product as the testbed sees it, without a tunnel.
func fakeProduct(how string, args []string) int {
	switch args[0] {
	case "keygen":
		fmt.Printf("private_key = \"private-%d\"\npublic_key = \"public-%d\"\n", os.Getpid(), os.Getpid())
	case "version":
		fmt.Println("multilink fake")
	case "status":
		conn, err := net.Dial("unix", args[3])
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		_, _ = io.Copy(os.Stdout, conn)
	case "server":
		return fakeDaemon(fakeWell, args)
	case "client":
		return fakeDaemon(how, args)
	}
	return 0
}

// fakeDaemon serves its status until TERM; HUP makes it read its
// configuration again.
func fakeDaemon(how string, args []string) int {
	keys, err := readKeys(args[2])
	if err != nil || how == fakeRefuse {
		fmt.Fprintf(os.Stderr, "%s: refused: %v\n", args[2], err)
		return 2
	}
	listener, err := net.Listen("unix", keys["status_socket"].(string))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP)
	resolver, _ := os.ReadFile("/etc/resolv.conf")
	go fakeStatus(listener, how, args[0], keys, string(resolver))
	if how == fakeCrash {
		time.Sleep(600 * time.Millisecond)
		fmt.Fprintln(os.Stderr, "a fake disaster")
		return 7
	}
	for s := range signals {
		switch {
		case s == unix.SIGHUP:
			listener.Close()
			if keys, err = readKeys(args[2]); err != nil {
				return 2
			}
			if listener, err = net.Listen("unix", keys["status_socket"].(string)); err != nil {
				return 1
			}
			go fakeStatus(listener, how, args[0], keys, string(resolver))
		case how != fakeDeaf:
			listener.Close()
			return 0
		}
	}
	return 0
}

func readKeys(path string) (map[string]any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var keys map[string]any
	return keys, toml.Unmarshal(text, &keys)
}

func fakeStatus(l net.Listener, how, role string, keys map[string]any, resolver string) {
	state := "up"
	if how == fakeStuck {
		state = "connecting"
	}
	interfaces, _ := net.Interfaces()
	for asked := 1; ; asked++ {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		link := state
		if how == fakeLate && asked < 5 {
			link = "down"
		}
		var links []map[string]any
		for _, i := range interfaces {
			if i.Name != "lo" {
				links = append(links, map[string]any{"name": i.Name, "state": link})
			}
		}
		_ = json.NewEncoder(conn).Encode(map[string]any{
			"role": role, "state": state, "links": links, "resolver": resolver,
			"scheduler": keys["scheduler"], "counters": map[string]any{"packets": 5}, "asked": asked,
		})
		conn.Close()
	}
}
