package nsdo

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
)

func newNamespace(t *testing.T) (string, netns.NsHandle) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	name := fmt.Sprintf("mls-nsdo-%08x", rand.Uint32())
	ns, err := Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ns.Close()
		if err := Delete(name); err != nil {
			t.Error(err)
		}
	})
	return name, ns
}

func interfaces(t *testing.T) []net.Interface {
	t.Helper()
	list, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestInEntersAndLeaves(t *testing.T) {
	_, ns := newNamespace(t)
	before := len(interfaces(t))
	inside := 0
	if err := In(ns, func() error { inside = len(interfaces(t)); return nil }); err != nil {
		t.Fatal(err)
	}
	if inside != 1 {
		t.Errorf("a new namespace has %d interfaces, want the loopback alone", inside)
	}
	if after := len(interfaces(t)); after != before {
		t.Errorf("this namespace has %d interfaces after, %d before", after, before)
	}
	wanted := errors.New("as returned")
	if err := In(ns, func() error { return wanted }); err != wanted {
		t.Errorf("In returned %v, want the function's own error", err)
	}
}

func TestDeleteTwice(t *testing.T) {
	name, ns := newNamespace(t)
	ns.Close()
	for range 2 {
		if err := Delete(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat("/run/netns/" + name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the name is still there: %v", err)
	}
}

func TestStartSeesNamespaceAndMounts(t *testing.T) {
	_, ns := newNamespace(t)
	dir := t.TempDir()
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	if err := os.WriteFile(source, []byte("inside"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd := exec.Command("/bin/sh", "-c", "cat "+target+"; grep -c : /proc/net/dev")
	cmd.Stdout = &out
	if err := Start(ns, cmd, []Mount{{source, target}}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != "inside1" {
		t.Errorf("the program saw %q, want the mounted file and one interface", got)
	}
	if data, _ := os.ReadFile(target); string(data) != "outside" {
		t.Errorf("outside, the file reads %q", data)
	}
}
