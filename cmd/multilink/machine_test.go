package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// patience bounds every wait for a condition.
const patience = 30 * time.Second

// inNamespace runs the rest of the test in a network namespace of its own,
// which ends with it: it has no name. Processes started from the test are in
// it too.
func inNamespace(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun")
	}
	// Never unlocked: the thread ends with the goroutine of the test.
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// serverConfig writes a server's configuration with a state directory of its
// own, unless more says otherwise.
func serverConfig(t *testing.T, name, more string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("private_key = %q\nstate_dir = %q\nstatus_socket = %q\n%s", privateText, dir, filepath.Join(dir, "s.sock"), more)
	return write(t, name+".toml", text, 0o600)
}

// background is a process that runs while the test does something else.
type background struct {
	cmd  *exec.Cmd
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *background) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func launch(t *testing.T, args ...string) *background {
	t.Helper()
	b := &background{cmd: exec.Command(binary, args...)}
	b.cmd.Stdout, b.cmd.Stderr = b, b
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.cmd.ProcessState == nil {
			_ = b.cmd.Process.Kill()
			_ = b.cmd.Wait()
		}
	})
	return b
}

// says waits until the process has printed a text.
func (b *background) says(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(b.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not said within %v: %q, but\n%s", patience, text, b)
		}
	}
}

// terminate ends the process as ctrl-C does.
func (b *background) terminate(t *testing.T) {
	t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- b.cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%v ended with %v:\n%s", b.cmd.Args, err, b)
		}
	case <-time.After(patience):
		_ = b.cmd.Process.Kill()
		<-ended
		t.Fatalf("%v does not end within %v of TERM:\n%s", b.cmd.Args, patience, b)
	}
}

func TestPortInUse(t *testing.T) {
	inNamespace(t)
	config := serverConfig(t, "server", "")
	tcp, err := net.Listen("tcp", ":5410")
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, "", nil, "server", "--config", config)
	if want := "TCP port 5410 is in use by another program"; got.status != 1 || !strings.Contains(got.err, want) {
		t.Errorf("exit %d, want 1 with %q\n%s", got.status, want, got.err)
	}
	tcp.Close()
	udp, err := net.ListenPacket("udp", ":5410")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	got = run(t, "", nil, "server", "--config", config)
	if want := "UDP port 5410 is in use by another program"; got.status != 1 || !strings.Contains(got.err, want) {
		t.Errorf("exit %d, want 1 with %q\n%s", got.status, want, got.err)
	}
	if links, err := netlink.LinkList(); err != nil || len(links) != 1 {
		t.Errorf("interfaces left: %v, %v", links, err)
	}
}

func TestTwoServers(t *testing.T) {
	inNamespace(t)
	one := launch(t, "server", "--config", serverConfig(t, "one", ""))
	one.says(t, "msg=serving")

	same := run(t, "", nil, "server", "--config", serverConfig(t, "same", "listen = \":5411\"\n"))
	if same.status != 1 || !strings.Contains(same.err, "multilink0") || !strings.Contains(same.err, "in use") {
		t.Errorf("the same TUN name: exit %d\n%s", same.status, same.err)
	}
	other := "listen = \":5411\"\n[tun]\nname = \"multilink1\"\n[addresses]\npool4 = \"10.9.0.0/24\"\npool6 = \"fd4d:4d::/64\"\n"
	two := launch(t, "server", "--config", serverConfig(t, "two", other))
	two.says(t, "msg=serving")
	one.terminate(t)
	two.terminate(t)
	if links, err := netlink.LinkList(); err != nil || len(links) != 1 {
		t.Errorf("interfaces left: %v, %v", links, err)
	}
}

func TestNoTUN(t *testing.T) {
	inNamespace(t)
	client := write(t, "client.toml", fmt.Sprintf("%sstate_dir = %q\nstatus_socket = %q\n", minimal, t.TempDir(), filepath.Join(t.TempDir(), "c.sock")), 0o600)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	shell := exec.CommandContext(ctx, "sh", "-c", `mount -t tmpfs none /dev/net && exec "$0" client --config "$1"`, binary, client)
	// Go makes the new mounts private to it.
	shell.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, _ := shell.CombinedOutput()
	if status := shell.ProcessState.ExitCode(); status != exitMachine || !strings.Contains(string(out), "no TUN device: load it (modprobe tun)") {
		t.Errorf("exit %d\n%s", status, out)
	}
}

func TestStatusOfRunningServer(t *testing.T) {
	inNamespace(t)
	dir := t.TempDir()
	socket := filepath.Join(dir, "status.sock")
	config := write(t, "server.toml", fmt.Sprintf("private_key = %q\nstate_dir = %q\nstatus_socket = %q\n", privateText, dir, socket), 0o600)
	b := launch(t, "server", "--config", config)
	b.says(t, "msg=serving")
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("status socket: %v, %v", info, err)
	}
	if got := run(t, "", nil, "status", "--json", "--socket", socket); got.status != 0 || !strings.Contains(got.out, `"state":"up"`) {
		t.Errorf("status: %+v", got)
	}
	if got := run(t, "", nil, "status", "--socket", socket); got.status != 0 || !strings.Contains(got.out, "server: multilink0\n  state: up") {
		t.Errorf("status: %+v", got)
	}
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	got := run(t, "", nil, "cleanup", "--state-dir", dir)
	if got.status != 0 || !strings.Contains(got.out, "removed nftables table") || !strings.Contains(got.out, "removed status socket") {
		t.Errorf("cleanup after kill -9: %+v", got)
	}
	if got := run(t, "", nil, "cleanup", "--state-dir", dir); got.out != "nothing to clean up\n" {
		t.Errorf("second cleanup: %+v", got)
	}
}
