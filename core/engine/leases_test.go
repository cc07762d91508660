package engine

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func testPools(v4, v6 string) pools {
	var p pools
	if v4 != "" {
		p.v4 = netip.MustParsePrefix(v4)
	}
	if v6 != "" {
		p.v6 = netip.MustParsePrefix(v6)
	}
	return p
}

func nobody(string) bool    { return false }
func everybody(string) bool { return true }

func TestPools(t *testing.T) {
	for _, c := range []struct {
		v4, v6 string
		last   uint32
		id     uint32
		a4, a6 string
	}{
		{"10.8.0.0/24", "fd4d:4c::/64", 254, 2, "10.8.0.2/24", "fd4d:4c::2/64"},
		{"10.8.0.0/30", "fd4d:4c::/64", 2, 2, "10.8.0.2/30", "fd4d:4c::2/64"},
		{"10.8.0.128/25", "", 126, 126, "10.8.0.254/25", "invalid Prefix"},
		{"10.0.0.0/8", "fd4d:4c::/126", 3, 3, "10.0.0.3/8", "fd4d:4c::3/126"},
		{"", "fd4d:4c::/64", maxClientID, 0x12345, "invalid Prefix", "fd4d:4c::1:2345/64"},
	} {
		p := testPools(c.v4, c.v6)
		if got := p.last(); got != c.last {
			t.Errorf("%v: last = %d, want %d", p, got, c.last)
		}
		a4, a6 := p.of(c.id)
		if a4.String() != c.a4 || a6.String() != c.a6 {
			t.Errorf("%v: of(%d) = %v, %v", p, c.id, a4, a6)
		}
		for _, a := range []netip.Prefix{a4, a6} {
			if id, ok := p.id(a.Addr()); a.IsValid() && (!ok || id != c.id) {
				t.Errorf("%v: id(%v) = %d, %v", p, a, id, ok)
			}
		}
	}
	p := testPools("10.8.0.0/24", "fd4d:4c::/64")
	for _, a := range []string{"10.8.0.0", "10.8.0.1", "10.8.0.255", "10.9.0.2", "fd4d:4c::1", "fd4d:4c::1:0:0:2"} {
		if id, ok := p.id(netip.MustParseAddr(a)); ok {
			t.Errorf("id(%s) = %d, want none", a, id)
		}
	}
}

func TestLeasesSurviveRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "leases.json")
	known := map[string]fixed{"A": {}, "B": {}, "C": {v4: netip.MustParseAddr("10.8.0.2")}}
	p := testPools("10.8.0.0/24", "fd4d:4c::/64")
	first := mustLeases(t, path, p, known)
	want := map[string]uint32{"B": 3, "A": 4, "C": 2}
	for _, key := range []string{"B", "A", "C"} {
		if got, err := first.take(key, everybody); err != nil || got.ID != want[key] {
			t.Fatalf("%s: id %d, %v, want %d", key, got.ID, err, want[key])
		}
	}
	second := mustLeases(t, path, p, known)
	for _, key := range []string{"A", "C", "B"} {
		if got, err := second.take(key, everybody); err != nil || got.ID != want[key] {
			t.Errorf("after restart: %s: id %d, %v, want %d", key, got.ID, err, want[key])
		}
	}
	delete(known, "B")
	if got := mustLeases(t, path, p, known); got.byKey["B"] != nil {
		t.Error("a client that was removed from the configuration kept its lease")
	}
}

func TestLeasesPoolExhausted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.json")
	l := mustLeases(t, path, testPools("10.8.0.0/29", ""), map[string]fixed{"A": {}, "B": {}, "C": {}, "D": {}, "E": {}, "F": {}})
	clock := time.Unix(1e9, 0)
	l.now = func() time.Time { clock = clock.AddDate(-1, 0, 0); return clock } // set back again and again
	for _, key := range []string{"A", "B", "C", "D", "E"} {
		if _, err := l.take(key, everybody); err != nil {
			t.Fatal(err)
		}
	}
	_, err := l.take("F", everybody)
	if !errors.Is(err, errPoolExhausted) || !strings.Contains(err.Error(), "all 5 addresses of 10.8.0.0/29") {
		t.Fatalf("error %v", err)
	}
	if _, err := l.take("A", nobody); err != nil { // A is now the last seen
		t.Fatal(err)
	}
	got, err := l.take("F", nobody)
	if err != nil || got.ID != 3 {
		t.Fatalf("F got id %d, %v; want B's, the longest away", got.ID, err)
	}
}

// TestLeasesOrderSurvivesRestart: who was there last keeps the lease, also when that
// was all that happened before the server ended.
func TestLeasesOrderSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "leases.json")
	p := testPools("10.8.0.0/29", "")
	known := map[string]fixed{"A": {}, "B": {}, "C": {}, "D": {}, "E": {}, "F": {}}
	first := mustLeases(t, path, p, known)
	for _, key := range []string{"A", "B", "C", "D", "E"} {
		if _, err := first.take(key, nobody); err != nil {
			t.Fatal(err)
		}
	}
	second := mustLeases(t, path, p, known)
	if _, err := second.take("A", nobody); err != nil {
		t.Fatal(err)
	}
	if err := second.close(); err != nil {
		t.Fatal(err)
	}
	if got, err := mustLeases(t, path, p, known).take("F", nobody); err != nil || got.ID != 3 {
		t.Errorf("F got id %d, %v; want B's, the longest away", got.ID, err)
	}
}

func TestLeasesBadFile(t *testing.T) {
	for content, want := range map[string]string{
		"{":             "are damaged",
		`{"version":9}`: "have version 9",
	} {
		path := filepath.Join(t.TempDir(), "leases.json")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := openLeases(path, testPools("10.8.0.0/24", ""), nil, time.Now)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want %q and the path", content, err, want)
		}
	}
}

// Whatever joins, leaves and restarts: no two clients share an address, and
// a connected one keeps its own.
func TestLeasesUnique(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "leases.json")
		_ = os.Remove(path)
		p := testPools("10.8.0.0/29", "fd4d:4c::/64")
		keys := []string{"A", "B", "C", "D", "E", "F", "G"}
		known := make(map[string]fixed)
		for _, key := range keys {
			known[key] = fixed{}
		}
		known["C"] = fixed{v4: netip.MustParseAddr("10.8.0.4")}
		known["D"] = fixed{v6: netip.MustParseAddr("fd4d:4c::3")}
		l, err := openLeases(path, p, known, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		live := make(map[string]lease)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			key := rapid.SampledFrom(keys).Draw(t, "key")
			switch rapid.SampledFrom([]string{"take", "leave", "restart"}).Draw(t, "step") {
			case "take":
				got, err := l.take(key, func(k string) bool { _, ok := live[k]; return ok })
				if err != nil {
					continue
				}
				if old, ok := live[key]; ok && old.ID != got.ID {
					t.Fatalf("%s changed from %d to %d while connected", key, old.ID, got.ID)
				}
				live[key] = got
			case "leave":
				delete(live, key)
			case "restart":
				if l, err = openLeases(path, p, known, time.Now); err != nil {
					t.Fatal(err)
				}
			}
			seen := make(map[netip.Addr]string)
			for key, c := range live {
				a4, a6 := l.addresses(c)
				for _, a := range []netip.Addr{a4.Addr(), a6.Addr()} {
					if other := seen[a]; other != "" {
						t.Fatalf("%s and %s share %v", key, other, a)
					}
					seen[a] = key
				}
			}
		}
	})
}

func mustLeases(t *testing.T, path string, p pools, known map[string]fixed) *leases {
	t.Helper()
	l, err := openLeases(path, p, known, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
