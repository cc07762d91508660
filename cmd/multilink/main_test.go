package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/multilink-vpn/multilink/core/control"
)

// binary is the program under test, built once.
var binary string

// releaseVariable is what the linker sets.
const releaseVariable = "github.com/multilink-vpn/multilink/cmd/internal/cli.release"

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "multilink-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Others have to be able to run it: see TestNotRoot.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "multilink")
	if out, err := exec.Command("go", "build", "-ldflags", "-X "+releaseVariable+"=v1.2.3-test", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// result is how a command ended.
type result struct {
	status   int
	out, err string
}

func run(t *testing.T, stdin string, change func(*exec.Cmd), args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	if change != nil {
		change(cmd)
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%v does not end within %v:\n%s%s", cmd.Args, patience, &out, &errOut)
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// write makes a file in a directory of the test that everybody can read.
func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	privateText = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	minimal     = `server = "192.0.2.1"
server_key = "bu+qNTxw9mi41vemlzgOKUmWXl7cIAGUKs42o+X3Nks="
private_key = "` + privateText + `"
`
)

func TestUsage(t *testing.T) {
	unknownKey := write(t, "client.toml", minimal+"shceduler = \"wrr\"\n", 0o600)
	unknownScheduler := write(t, "client.toml", minimal+"scheduler = \"best\"\n", 0o600)
	for _, c := range []struct {
		args   []string
		status int
		want   string // in the error output
	}{
		{nil, 2, "a command is missing"},
		{[]string{"start"}, 2, `unknown command "start"`},
		{[]string{"statsu"}, 2, `unknown command "statsu" for "multilink": did you mean status?`},
		{[]string{"link"}, 2, "a command is missing"},
		{[]string{"link", "lst"}, 2, `unknown command "lst" for "multilink link": did you mean list or set?`},
		{[]string{"link", "set", "wwan0"}, 2, "nothing to change about wwan0"},
		{[]string{"link", "set", "wwan0", "spare"}, 2, `role = "spare": must be one of active, backup, off`},
		{[]string{"link", "set", "wwan0", "--quota", "10"}, 2, `quota = "10": must be an amount of data`},
		{[]string{"status", "--jsno"}, 2, "unknown flag: --jsno"},
		{[]string{"client", "now.toml"}, 2, "did you mean multilink client --config now.toml?"},
		{[]string{"link", "set"}, 2, "an argument is missing: multilink link set NAME"},
		{[]string{"keygen", "--out", ""}, 2, "--out: the name of the file is empty"},
		{[]string{"client", "--config", "/does/not/exist.toml"}, 2, "/does/not/exist.toml"},
		{[]string{"client", "--config", unknownKey}, 2, unknownKey + `:4:1: unknown key "shceduler": did you mean "scheduler"?`},
		{[]string{"client", "--config", unknownScheduler}, 2, unknownScheduler + `:4:13: scheduler = "best"`},
		{[]string{"server", "--config", unknownKey}, 2, `unknown key "server"`},
		{[]string{"status", "--socket", "/does/not/exist.sock"}, 1, "nothing is running under it"},
		{[]string{"status", "--socket", unknownKey}, 1, "is not a socket"},
		{[]string{"pubkey"}, 2, "0 characters: a key has 44"},
	} {
		got := run(t, "", nil, c.args...)
		if got.status != c.status || !strings.Contains(got.err, c.want) || got.out != "" {
			t.Errorf("multilink %s: exit %d, want %d with %q, said\n%s%s", strings.Join(c.args, " "), got.status, c.status, c.want, got.out, got.err)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--help"}, "Usage:"},
		{[]string{"help", "client"}, "HUP reads the configuration again"},
		{[]string{"version"}, "multilink v1.2.3-test go1."},
		{[]string{"--version"}, "multilink v1.2.3-test\n"},
		{[]string{"completion", "bash"}, "bash completion"},
	} {
		got := run(t, "", nil, c.args...)
		if got.status != 0 || !strings.Contains(got.out, c.want) {
			t.Errorf("multilink %s: exit %d, no %q in\n%s%s", strings.Join(c.args, " "), got.status, c.want, got.out, got.err)
		}
	}
}

// TestMakefileSetsTheRelease: the linker says nothing about a variable that is
// not there.
func TestMakefileSetsTheRelease(t *testing.T) {
	text, err := os.ReadFile("../../Makefile")
	if want := "-X " + releaseVariable + "="; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("the Makefile has no %q (%v)", want, err)
	}
}

func TestKeys(t *testing.T) {
	got := run(t, "", nil, "keygen")
	var private, public string
	if n, err := fmt.Sscanf(got.out, "private_key = %q\npublic_key = %q\n", &private, &public); n != 2 || err != nil {
		t.Fatalf("keygen printed\n%s%s(%v)", got.out, got.err, err)
	}
	key, err := control.ParsePrivateKey(private)
	if err != nil || key.Public().String() != public {
		t.Errorf("the keys do not belong together: %v", err)
	}
	if got := run(t, private+"\n", nil, "pubkey"); got.out != public+"\n" {
		t.Errorf("pubkey printed %q, want %q", got.out, public)
	}

	path := filepath.Join(t.TempDir(), "private.key")
	got = run(t, "", nil, "keygen", "--out", path)
	text, err := os.ReadFile(path)
	if err != nil || got.status != 0 || strings.Contains(got.out, "private") {
		t.Fatalf("keygen --out: %v, %+v", err, got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("private key file: %v, %v", info.Mode(), err)
	}
	if again := run(t, string(text), nil, "pubkey"); !strings.Contains(got.out, strings.TrimSpace(again.out)) {
		t.Errorf("pubkey of the file %q is not in %q", again.out, got.out)
	}
	if got := run(t, "", nil, "keygen", "--out", path); got.status != 1 || !strings.Contains(got.err, "is not replaced") {
		t.Errorf("an existing key: %+v", got)
	}
}

func TestNotRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to become somebody else")
	}
	client := write(t, "client.toml", minimal, 0o644)
	server := write(t, "server.toml", "private_key = \""+privateText+"\"\n", 0o644)
	openUp(t, client)
	openUp(t, server)
	nobody := func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	for _, c := range []struct {
		role string
		args []string
	}{
		{"client", []string{"client", "--config", client}},
		{"server", []string{"server", "--config", server}},
		{"cleanup", []string{"cleanup"}},
	} {
		want := "multilink " + c.role + " needs root (or CAP_NET_ADMIN): run it with sudo"
		got := run(t, "", nobody, c.args...)
		if got.status != exitMachine || !strings.Contains(got.err, want) {
			t.Errorf("%s: exit %d\n%s", c.role, got.status, got.err)
		}
		if c.role == "client" && strings.Count(got.err, "chmod 600") != 1 {
			t.Errorf("the warning about a key that others can read is not there once:\n%s", got.err)
		}
	}
}

// openUp lets everybody reach a file below the directory of the test.
func openUp(t *testing.T, path string) {
	t.Helper()
	for dir := filepath.Dir(path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
