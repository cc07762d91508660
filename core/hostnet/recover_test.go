package hostnet

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// crashAfter makes the first n changes, and writes down but does not make the
// next one if pending. Then the process is as good as dead.
func crashAfter(t *testing.T, h *Host, changes []change, n int, pending bool) {
	t.Helper()
	for _, c := range changes[:n] {
		must(t, h.make(c))
	}
	if pending && n < len(changes) {
		needed, err := changes[n].prepare(h.env)
		must(t, err)
		if needed {
			must(t, appendJournal(h.env.stateDir, h.env.owner.TUN, changes[n]))
		}
	}
	kill(t, h)
}

// Whatever point a process dies at, everything is put back.
func TestRecoverAfterEveryStep(t *testing.T) {
	plans := map[string]func(*testing.T, *Host) []change{
		"client": func(t *testing.T, h *Host) []change {
			plan := clientPlan(t)
			plan.ResolvConf = filepath.Join(h.env.stateDir, "resolv.conf")
			must(t, os.WriteFile(plan.ResolvConf, []byte("nameserver 192.0.2.1\n"), 0o600))
			changes, err := h.clientChanges(plan)
			must(t, err)
			return changes
		},
		"server": func(t *testing.T, h *Host) []change {
			changes, err := h.serverChanges(serverPlan())
			must(t, err)
			return changes
		},
	}
	for name, plan := range plans {
		t.Run(name, func(t *testing.T) {
			enterNamespace(t)
			makeClientHost(t)
			writeSysctl(t, "net/ipv4/conf/all/accept_redirects", "0")
			steps := 0
			for step := 0; step <= steps; step++ {
				for _, pending := range []bool{false, true} {
					state := t.TempDir()
					before := snapshot(t)
					h := open(t, state, testTUN)
					changes := plan(t, h)
					steps = len(changes)
					crashAfter(t, h, changes, step, pending)
					_, err := Recover(state)
					must(t, err)
					context := fmt.Sprintf("after step %d, next one pending %v", step, pending)
					wantSame(t, context, before, snapshot(t))
					if left, _ := journals(state); len(left) > 0 {
						t.Fatalf("%s: journal left", context)
					}
				}
			}
			if steps < 5 {
				t.Fatalf("only %d steps", steps)
			}
		})
	}
}

// The device of a killed process goes by itself, and much with it.
func TestRecoverWithoutTheDevice(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	plan := clientPlan(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	kill(t, h)
	must(t, netlink.LinkDel(linkNamed(t, testTUN)))
	removed, err := Recover(h.env.stateDir)
	must(t, err)
	var texts []string
	for _, r := range removed {
		texts = append(texts, r.String())
	}
	all := strings.Join(texts, "\n")
	for _, want := range []string{
		"mlt0: removed nftables table inet multilink-mlt0", "IPv4 rule 5412: not fwmark 5410 lookup 5410",
		"IPv6 rule 5410: to 2001:db8:2::/48 lookup 254", plan.ResolvConf, "wlan0/rp_filter",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the report does not tell of %q:\n%s", want, all)
		}
	}
	addTUN(t, testTUN)
	again, err := Recover(h.env.stateDir)
	if err != nil || len(again) > 0 {
		t.Errorf("recovered twice: %v, %v", again, err)
	}
}

func TestRecoverLeavesTheLivingAlone(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(clientPlan(t)))
	before := snapshot(t)
	removed, err := Recover(h.env.stateDir)
	if err != nil || len(removed) > 0 {
		t.Errorf("recovered from a living process: %v, %v", removed, err)
	}
	wantSame(t, "after recover", before, snapshot(t))
	must(t, h.Undo())
	removed, err = Recover(filepath.Join(t.TempDir(), "none"))
	if err != nil || len(removed) > 0 {
		t.Errorf("without a state directory: %v, %v", removed, err)
	}
}

// What the user set after us is the user's.
func TestRecoverKeepsWhatTheUserChanged(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	plan := clientPlan(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	kill(t, h)
	writeSysctl(t, "net/ipv4/conf/wlan0/rp_filter", "0")
	must(t, os.WriteFile(plan.ResolvConf, []byte("nameserver 9.9.9.9\n"), 0o644))
	removed, err := Recover(h.env.stateDir)
	must(t, err)
	if got := readSysctl(t, "net/ipv4/conf/wlan0/rp_filter"); got != "0" {
		t.Errorf("rp_filter is %s, want the user's 0", got)
	}
	text, err := os.ReadFile(plan.ResolvConf)
	must(t, err)
	if string(text) != "nameserver 9.9.9.9\n" {
		t.Errorf("the resolver file is %q, want the user's", text)
	}
	count := 0
	for _, r := range removed {
		if r.Kept != "" {
			count++
		}
	}
	if count != 2 {
		t.Errorf("%d things are reported as left, want 2: %v", count, removed)
	}
}

// A journal of another namespace is left alone while that exists, and worth
// only its files when it has gone.
func TestRecoverInAnotherNamespace(t *testing.T) {
	occupy(t, enterNamespace(t))
	makeClientHost(t)
	plan := clientPlan(t)
	file, err := os.ReadFile(plan.ResolvConf)
	must(t, err)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	kill(t, h)
	before := snapshot(t, plan.ResolvConf)
	inside(t, newPeer(t), func() {
		removed, err := Recover(h.env.stateDir)
		must(t, err)
		if len(removed) != 1 || !strings.Contains(removed[0].Kept, "another network namespace") {
			t.Errorf("report %v", removed)
		}
		_, err = Open(h.env.stateDir, testTUN)
		wantError(t, err, ErrElsewhere, testTUN)
	})
	wantSame(t, "after recover elsewhere", before, snapshot(t, plan.ResolvConf))

	j, err := readJournal(h.env.stateDir, testTUN)
	must(t, err)
	j.owner.NetNS = 1 // none has that number
	must(t, writeJournal(h.env.stateDir, *j))
	removed, err := Recover(h.env.stateDir)
	must(t, err)
	if len(removed) != 1 || removed[0].What != plan.ResolvConf {
		t.Errorf("report %v, want the resolver file only", removed)
	}
	if text, _ := os.ReadFile(plan.ResolvConf); string(text) != string(file) {
		t.Errorf("the resolver file is %q, want %q", text, file)
	}
}

// A journal whose last line was being written is used up to there; one with
// nonsense is used as far as it makes sense.
func TestRecoverFromADamagedJournal(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	before := snapshot(t)
	plan := clientPlan(t)
	h := open(t, t.TempDir(), testTUN)
	must(t, h.ApplyClient(plan))
	kill(t, h)
	path := journalPath(h.env.stateDir, testTUN)
	data, err := os.ReadFile(path)
	must(t, err)
	lines := strings.SplitAfter(string(data), "\n")
	lines = slices.Insert(lines, 3, "nonsense\n", `{"kind":"spell","change":{}}`+"\n")
	must(t, os.WriteFile(path, []byte(strings.Join(lines, "")+`{"kind":"rule","chan`), 0o600))
	removed, err := Recover(h.env.stateDir)
	must(t, err)
	wantSame(t, "after recover", before, snapshot(t))
	count := 0
	for _, r := range removed {
		if strings.Contains(r.Kept, "cannot be read") {
			count++
		}
	}
	if count != 2 {
		t.Errorf("%d entries are reported as damaged, want 2: %v", count, removed)
	}
}

// childEnv makes the test binary the process that TestRecoverAfterKill kills.
const childEnv = "HOSTNET_TEST_CHILD_STATE"

func TestMain(m *testing.M) {
	if state := os.Getenv(childEnv); state != "" {
		child(state)
	}
	os.Exit(m.Run())
}

// child applies a plan with a TUN device of its own and waits for its end.
func child(state string) {
	runtime.LockOSThread()
	fail := func(err error) {
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	tun := &netlink.Tuntap{
		LinkAttrs: netlink.LinkAttrs{Name: testTUN}, Mode: netlink.TUNTAP_MODE_TUN,
		Flags: netlink.TUNTAP_NO_PI, NonPersist: true, Queues: 1,
	}
	fail(netlink.LinkAdd(tun))
	h, err := Open(state, testTUN)
	fail(err)
	fail(h.ApplyClient(ClientPlan{
		TUN: testTUN, MTU: 1420, Addresses: prefixes("10.8.0.2/24", "fd00:8::2/64"), Default: true, KillSwitch: true,
		Mark: DefaultMark, Table: DefaultTable, Priority: DefaultPriority, Links: []string{"wlan0", "wwan0"},
		DNS: addrs("10.8.0.1"), ResolvConf: filepath.Join(state, "resolv.conf"),
	}))
	fmt.Println("applied")
	_, _ = os.Stdin.Read(make([]byte, 1)) // until the parent ends, at the latest
	os.Exit(0)
}

func TestRecoverAfterKill(t *testing.T) {
	enterNamespace(t)
	addLink(t, "wlan0", "192.168.1.2/24", "fd01::2/64", 100)
	addLink(t, "wwan0", "192.168.2.2/24", "fd02::2/64", 200)
	writeSysctl(t, "net/ipv4/conf/wlan0/rp_filter", "1")
	state := t.TempDir()
	resolv := filepath.Join(state, "resolv.conf")
	must(t, os.Symlink("../run/resolv.conf", resolv))
	before := snapshot(t, resolv)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+state)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	answer, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || answer != "applied\n" {
		_ = cmd.Process.Kill()
		t.Fatalf("child says %q, %v within %v", answer, err, patience)
	}
	if _, err := Open(state, testTUN); err == nil {
		t.Error("the claim of a living process was taken")
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // its exit status is that of the kill
	removed, err := Recover(state)
	must(t, err)
	if len(removed) == 0 {
		t.Error("nothing was recovered")
	}
	wantSame(t, "after recover", before, snapshot(t, resolv))
}
