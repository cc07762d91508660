package program

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// start starts a shell script in a namespace of its own.
func start(t *testing.T, script string) *Program {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	ns, err := nsdo.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	p, err := Start("script", ns, exec.Command("/bin/sh", "-c", script), nil, filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

func TestStoppedProgram(t *testing.T) {
	p := start(t, "exec sleep 60")
	if !p.Running() {
		t.Error("it does not run")
	}
	if err := p.Stop(); err == nil || !strings.HasPrefix(err.Error(), "the script, told to end, ended with signal: terminated\n") {
		t.Errorf("error %v", err)
	}
	if p.Running() || p.Fault() != nil {
		t.Errorf("running %v, fault %v after it was stopped", p.Running(), p.Fault())
	}
	if err := p.Signal(unix.SIGHUP); err == nil {
		t.Error("a program that has ended took a signal")
	}
}

func TestProgramThatEndsByItself(t *testing.T) {
	p := start(t, "echo one; echo two >&2; exit 7")
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
	err := p.Fault()
	if err == nil || err.Error() != "the script ended by itself: exit status 7\nits last output:\n  one\n  two" {
		t.Errorf("fault %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopping what has ended: %v", err)
	}
	if used := p.ProcessorTime(); used != 0 {
		t.Errorf("%v of processor time, and it has ended", used)
	}
}

func TestKilledProgram(t *testing.T) {
	p := start(t, "exec sleep 60")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if p.Running() || p.Fault() != nil {
		t.Errorf("running %v, fault %v after it was killed", p.Running(), p.Fault())
	}
}

func TestOutput(t *testing.T) {
	out, err := Output(t.Context(), []string{"WORD=hello"}, "/bin/sh", "-c", "echo $WORD")
	if err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	_, err = Output(t.Context(), nil, "/bin/sh", "-c", "echo no >&2; exit 3")
	if err == nil || err.Error() != "/bin/sh -c: exit status 3: no" {
		t.Errorf("error %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Output(ended, nil, "/bin/sh", "-c", "exec sleep 60"); err == nil {
		t.Error("it ran without a context")
	}
}

func TestKeygen(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"private_key = \"a\"\npublic_key = \"b\"\n": "",
		"public_key = \"b\"\n":                      "printed no private_key and public_key",
	} {
		binary := filepath.Join(dir, "product")
		if err := os.WriteFile(binary, []byte("#!/bin/sh\necho '"+text+"'\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "private.key")
		public, err := Keygen(t.Context(), nil, binary, file)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
			continue
		}
		if private, _ := os.ReadFile(file); err != nil || public != "b" || string(private) != "a\n" {
			t.Errorf("public %q, private %q, error %v", public, private, err)
		}
	}
}
