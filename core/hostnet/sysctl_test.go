package hostnet

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// sysctlEnv is an env over a directory instead of /proc/sys.
func sysctlEnv(t *testing.T, values map[string]string) *env {
	t.Helper()
	e := &env{owner: owner{TUN: "ml0"}, stateDir: t.TempDir(), sysctlDir: t.TempDir()}
	for key, value := range values {
		path := filepath.Join(e.sysctlDir, key)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte(value+"\n"), 0o600))
	}
	return e
}

func TestSysctlThatIsAbsent(t *testing.T) {
	e := sysctlEnv(t, nil)
	c := &sysctlChange{Key: "net/ipv4/conf/all/src_valid_mark", Value: "1"}
	if needed, err := c.prepare(e); needed || err != nil {
		t.Errorf("needed %v, %v", needed, err)
	}
	if result, err := c.undo(e); result != gone || err != nil {
		t.Errorf("undo: %+v, %v", result, err)
	}
	forward := &forwardingChange{Family: unix.AF_INET}
	if _, err := forward.prepare(e); err == nil || !strings.Contains(err.Error(), forward4) {
		t.Errorf("a host that cannot forward: %v", err)
	}
}

// In a container, /proc/sys can be read but not written.
func TestSysctlThatCannotBeWritten(t *testing.T) {
	key := "net/ipv4/conf/all/src_valid_mark"
	e := sysctlEnv(t, map[string]string{key: "0"})
	c := &sysctlChange{Key: key, Value: "1"}
	needed, err := c.prepare(e)
	must(t, err)
	if !needed {
		t.Fatal("not needed")
	}
	// A directory cannot be written whoever tries, and reads as absent.
	path := filepath.Join(e.sysctlDir, key)
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, fs.FileMode(0o700)))
	must(t, c.do(e))
	if len(e.warnings) != 1 || !strings.Contains(e.warnings[0], key) {
		t.Errorf("warnings %q", e.warnings)
	}
}

func TestForwardingThatIsOnNeedsNoWrite(t *testing.T) {
	e := sysctlEnv(t, map[string]string{forward4: "1"})
	must(t, os.Chmod(filepath.Join(e.sysctlDir, forward4), 0o400))
	c := &forwardingChange{Family: unix.AF_INET}
	_, err := c.prepare(e)
	must(t, err)
	must(t, c.do(e))
	if result, err := c.undo(e); result != gone || err != nil {
		t.Errorf("undo: %+v, %v", result, err)
	}
}

// Undo that was itself cut off after the switch went off can be repeated.
func TestForwardingUndoneTwice(t *testing.T) {
	around := map[string]string{
		"net/ipv4/conf/all/accept_redirects": "0",
		"net/ipv4/conf/eth0/forwarding":      "1",
		"net/ipv4/conf/eth1/forwarding":      "0",
	}
	e := sysctlEnv(t, map[string]string{
		forward4: "0", "net/ipv4/conf/all/accept_redirects": "1",
		"net/ipv4/conf/eth0/forwarding": "0", "net/ipv4/conf/eth1/forwarding": "0",
	})
	c := &forwardingChange{Family: unix.AF_INET, Prev: "0", Around: around}
	_, err := c.undo(e)
	must(t, err)
	for key, want := range around {
		if got, _ := e.sysctl(key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
}

func TestCapability(t *testing.T) {
	wantError(t, checkCapability(0), ErrPrivilege, "run with sudo")
	wantError(t, checkCapability(^uint32(1<<unix.CAP_NET_ADMIN)), ErrPrivilege)
	must(t, checkCapability(1<<unix.CAP_NET_ADMIN))
}
