package lab

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// abandon makes what a run with one link makes, and a process in it, then
// forges the manifest to be of a process that is gone.
func abandon(t *testing.T, environment func(id string) []string) (*manifest, *exec.Cmd) {
	t.Helper()
	n := newNames()
	m, err := newManifest(n, "abandoned", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.clear() })
	s, err := newSpace(n.client())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	cmd := exec.Command("/bin/sleep", "1000")
	cmd.Env = environment(n.id)
	if err := nsdo.Start(s.ns, cmd, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // once it has ended: nothing
	m.Start++                                    // another process with this PID
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.path(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return m, cmd
}

func TestSweepRemovesWhatAKilledRunLeft(t *testing.T) {
	needRoot(t)
	for name, environment := range map[string]func(id string) []string{
		"marked": func(id string) []string { return []string{runVariable + "=" + id} },
		// As the kernel shows it between fork and the new program.
		"not to be seen yet": func(string) []string { return []string{} },
	} {
		t.Run(name, func(t *testing.T) { sweepRemoves(t, environment) })
	}
}

func sweepRemoves(t *testing.T, environment func(id string) []string) {
	m, cmd := abandon(t, environment)
	var log strings.Builder
	if err := Sweep(&log); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), m.ID) {
		t.Errorf("the log does not tell: %q", log.String())
	}
	if left := m.processes(); len(left) > 0 {
		t.Fatalf("processes %v are left", left)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := receive(t, ended, "the end of the process"); err == nil {
		t.Error("the process was not killed")
	}
	for _, path := range []string{m.path(), m.folder(), "/run/netns/" + m.Namespaces[0]} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func TestSweepLeavesRunsThatGoOn(t *testing.T) {
	needRoot(t)
	m, err := newManifest(newNames(), "going on", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.clear(); err != nil {
			t.Error(err)
		}
	}()
	if err := Sweep(os.Stderr); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.path()); err != nil {
		t.Error(err)
	}
}

func TestManifestsThatNobodyWrote(t *testing.T) {
	needRoot(t)
	n := newNames()
	for _, text := range []string{
		`{`,
		`{"id":"other"}`,
		`{"id":"` + n.id + `","namespaces":["somebody-elses"]}`,
		`{"id":"` + n.id + `","namespaces":["` + n.prefix() + `-/../x"]}`,
	} {
		path := (&manifest{ID: n.id}).path()
		if err := os.MkdirAll(runDir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readManifest(path); err == nil {
			t.Errorf("%s was taken", text)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
