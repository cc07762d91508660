package hostnet

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// everyChange holds one change of each kind with all its fields set.
var everyChange = []change{
	&tunChange{Name: "ml0", Index: 3, MTU: 1420, PrevMTU: 1500, PrevUp: true},
	&addressChange{TUN: "ml0", Index: 3, Prefix: netip.MustParsePrefix("fd00:8::2/64")},
	&routeChange{Table: 5410, Prefix: netip.MustParsePrefix("0.0.0.0/0"), TUN: "ml0", Index: 3, Unreachable: true},
	&ruleChange{Family: 10, Priority: 5410, Table: 254, To: netip.MustParsePrefix("2001:db8::/32"), NotMark: 5410, SuppressDefault: true},
	&ruleChange{Family: 2, Priority: 5411, Table: 254},
	&nftChange{Table: "multilink-ml0", Guard: true},
	&sysctlChange{Key: "net/ipv4/conf/eth0.5/rp_filter", Value: "2", Prev: "1", Link: 4, Name: "eth0.5"},
	&forwardingChange{Family: 10, Uplink: "eth0", Prev: "0", Around: map[string]string{"net/ipv6/conf/eth0/accept_ra": "1"}},
	&resolvedChange{TUN: "ml0", Index: 3, Servers: addrs("10.8.0.1", "fd00::1")},
	&resolvconfChange{Program: "/usr/sbin/resolvconf", Record: "tun.ml0"},
	&fileChange{Path: "/etc/resolv.conf", Data: "x\n", Prev: &entry{Data: []byte{0, 0xff, '\n'}, Mode: 0o640, UID: 1, GID: 2}},
	&fileChange{Path: "/etc/resolv.conf", Data: "x\n", Prev: &entry{Link: "../run/systemd/resolve/stub-resolv.conf"}},
	&fileChange{Path: "/etc/resolv.conf", Data: "x\n"},
}

func TestJournalKeepsEveryKind(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range everyChange {
		seen[c.kind()] = true
	}
	if len(seen) != len(kinds) {
		t.Errorf("the test knows %d kinds of change, the journal %d", len(seen), len(kinds))
	}
	j := journal{owner: owner{TUN: "ml0", PID: 7, Start: 1 << 60, Boot: "b", NetNS: 4026531840}, changes: everyChange}
	data, err := j.encode()
	must(t, err)
	if got := parseJournal(data); !reflect.DeepEqual(got, j) {
		t.Errorf("read back\n%+v\nwant\n%+v", got, j)
	}
	for _, c := range everyChange {
		if c.String() == "" || strings.Contains(c.String(), "%!") {
			t.Errorf("%T is described as %q", c, c.String())
		}
	}
}

func FuzzParseJournal(f *testing.F) {
	j := journal{owner: owner{TUN: "ml0", PID: 7}, changes: everyChange}
	data, err := j.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add([]byte("\n\n{}\n{\"kind\":\"rule\"}\n{\"kind\":\"file\",\"change\":null}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		once := parseJournal(data)
		encoded, err := once.encode()
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		twice := parseJournal(encoded)
		if len(twice.damaged) > 0 || len(twice.changes) != len(once.changes) || twice.owner != once.owner {
			t.Fatalf("read %+v, then %+v", once, twice)
		}
		for _, c := range twice.changes {
			_ = c.String()
		}
	})
}

func TestParseStat(t *testing.T) {
	tail := " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"
	tests := []struct {
		stat  string
		start uint64
		state byte
		fails bool
	}{
		{"12 (cat)" + tail, 4242, 'S', false},
		{"12 (a) b) (c" + ")" + tail, 4242, 'S', false},
		{"12 (cat) Z 1", 0, 0, true},
		{"12 cat S 1", 0, 0, true},
		{"12 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 soon", 0, 'S', true},
		{"", 0, 0, true},
	}
	for _, test := range tests {
		start, state, err := parseStat([]byte(test.stat))
		if (err != nil) != test.fails || start != test.start || state != test.state {
			t.Errorf("%q: %d, %q, %v", test.stat, start, state, err)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("12 (cat) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20"))
	f.Fuzz(func(_ *testing.T, stat []byte) { _, _, _ = parseStat(stat) })
}

func TestOwnerAlive(t *testing.T) {
	me, err := self("ml0")
	must(t, err)
	if !me.alive(me.Boot) {
		t.Error("this process is not alive")
	}
	for name, change := range map[string]func(*owner){
		"another process under its number": func(o *owner) { o.Start++ },
		"before the last boot":             func(o *owner) { o.Boot = "earlier" },
		"no process":                       func(o *owner) { o.PID = 0 },
		"a number no process has":          func(o *owner) { o.PID = 1 << 30 },
	} {
		other := me
		change(&other)
		if other.alive(me.Boot) {
			t.Errorf("%s: alive", name)
		}
	}
	if namespaceExists(1) {
		t.Error("a namespace exists under number 1")
	}
	if !namespaceExists(me.NetNS) {
		t.Error("this thread's namespace does not exist")
	}
}

func TestInterfaceNames(t *testing.T) {
	for name, want := range map[string]bool{
		"eth0": true, "br-0123456789ab": true, "eth0.5": true, "wlan0@home": true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "a\n": false, "a:1": false, "0123456789abcdef": false,
	} {
		if validInterfaceName(name) != want {
			t.Errorf("%q: valid %v, want %v", name, !want, want)
		}
	}
}

// Several tunnels that share sysctls come and go, or die, in any order. In
// the end everything is as it was.
func TestSharedSysctlsProperty(t *testing.T) {
	enterNamespace(t)
	makeClientHost(t)
	writeSysctl(t, "net/ipv4/conf/all/accept_redirects", "0")
	writeSysctl(t, "net/ipv4/conf/wwan0/forwarding", "1")
	before := snapshot(t)
	names := []string{"ml0", "ml1", "ml2"}
	rapid.Check(t, func(rt *rapid.T) {
		state, err := os.MkdirTemp(t.TempDir(), "state")
		must(t, err)
		up := map[string]*Host{}
		steps := rapid.IntRange(1, 12).Draw(rt, "steps")
		for i := range steps {
			name := rapid.SampledFrom(names).Draw(rt, fmt.Sprintf("tunnel %d", i))
			action := rapid.SampledFrom([]string{"start", "stop", "kill", "recover"}).Draw(rt, fmt.Sprintf("action %d", i))
			h := up[name]
			switch {
			case action == "start" && h == nil:
				up[name] = open(t, state, name)
				must(t, up[name].apply([]change{
					&sysctlChange{Key: "net/ipv4/conf/all/src_valid_mark", Value: "1"},
					&forwardingChange{Family: 2}, &forwardingChange{Family: 10},
				}))
			case action == "stop" && h != nil:
				must(t, h.Undo())
				delete(up, name)
			case action == "kill" && h != nil:
				kill(t, h)
				delete(up, name)
			case action == "recover":
				_, err := Recover(state)
				must(t, err)
			}
			for _, key := range []string{forward4, forward6, "net/ipv4/conf/all/src_valid_mark"} {
				if got := readSysctl(t, key); len(up) > 0 && got != "1" {
					rt.Fatalf("%s is %s while %d tunnels use it", key, got, len(up))
				}
			}
		}
		for _, h := range up {
			must(t, h.Undo())
		}
		_, err = Recover(state)
		must(t, err)
		wantSame(t, "in the end", before, snapshot(t))
		if left, _ := filepath.Glob(filepath.Join(state, "*"+journalSuffix)); len(left) > 0 {
			rt.Fatalf("journals left: %v", left)
		}
	})
}
