package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
)

func TestPeriods(t *testing.T) {
	for _, c := range []struct {
		now        string
		day        int
		begin, end string
	}{
		{"2026-11-23 10:00", 1, "2026-11-01", "2026-12-01"},
		{"2026-11-23 10:00", 23, "2026-11-23", "2026-12-23"},
		{"2026-11-23 10:00", 24, "2026-10-24", "2026-11-24"},
		{"2026-11-01 00:00", 1, "2026-11-01", "2026-12-01"},
		{"2027-01-15 12:00", 20, "2026-12-20", "2027-01-20"},
		{"2027-02-10 12:00", 31, "2027-01-31", "2027-02-28"},
		{"2027-02-28 12:00", 31, "2027-02-28", "2027-03-31"},
		{"2028-02-28 12:00", 30, "2028-01-30", "2028-02-29"},
		{"2026-12-31 23:59", 31, "2026-12-31", "2027-01-31"},
	} {
		now, err := time.ParseInLocation("2006-01-02 15:04", c.now, time.Local)
		if err != nil {
			t.Fatal(err)
		}
		begin, end := periodOf(now, c.day).Format(time.DateOnly), nextPeriod(now, c.day).Format(time.DateOnly)
		if begin != c.begin || end != c.end {
			t.Errorf("%s, day %d: %s to %s, want %s to %s", c.now, c.day, begin, end, c.begin, c.end)
		}
	}
}

// calendar is a clock that a test sets.
type calendar struct{ t time.Time }

func (c *calendar) now() time.Time { return c.t }

// november is a day in the middle of a month.
func november() *calendar {
	return &calendar{time.Date(2026, 11, 23, 10, 0, 0, 0, time.Local)}
}

var quota100MB = config.LinkPolicy{Quota: 100e6, ResetDay: 1, AtQuota: "off"}

func mustUsage(t *testing.T, path string, clock *calendar) *usage {
	t.Helper()
	u, err := openUsage(path, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestUsageSurvivesRestart: what was used is written when that is worth it, and read
// again.
func TestUsageSurvivesRestart(t *testing.T) {
	path, clock, quota := filepath.Join(t.TempDir(), "sub", "tun.usage.json"), november(), quota100MB
	open := func() *usage { return mustUsage(t, path, clock) }
	u := open()
	if u.add("wwan0", quota, 60e6) {
		t.Error("used up at 60 of 100 MB")
	}
	if u.due() {
		t.Error("to be written at once")
	}
	clock.t = clock.t.Add(usagePause)
	if !u.due() {
		t.Error("not to be written after a while")
	}
	if err := u.save(); err != nil {
		t.Fatal(err)
	}
	if u.due() {
		t.Error("to be written though nothing has changed")
	}

	u = open() // over a restart
	if !u.add("wwan0", quota, 40e6) || !u.due() {
		t.Error("not used up, or not to be written, at 100 of 100 MB")
	}
	if err := u.save(); err != nil {
		t.Fatal(err)
	}
	if got := open().account("wwan0", quota).Bytes; got != 100e6 {
		t.Errorf("%d bytes after a restart", got)
	}
}

// TestUsageOverPeriods: a clock that is wrong for a while costs nothing but time, a
// new month begins at zero, and another day to begin on changes nothing at once.
func TestUsageOverPeriods(t *testing.T) {
	clock, quota := november(), quota100MB
	u := mustUsage(t, filepath.Join(t.TempDir(), "u"), clock)
	used := func(u *usage) uint64 { return u.account("wwan0", quota).Bytes }
	u.add("wwan0", quota, 100e6)
	clock.t = clock.t.AddDate(-1, 0, 0)
	if got := used(u); got != 100e6 {
		t.Errorf("%d bytes after the clock was set back", got)
	}
	clock.t = clock.t.AddDate(1, 0, 0)
	if got := used(u); got != 0 {
		t.Errorf("%d bytes in a later period", got)
	}
	u.add("wwan0", quota, 5e6)
	quota.ResetDay = 15
	if got := used(u); got != 5e6 {
		t.Errorf("%d bytes after another reset day was chosen", got)
	}
	clock.t = clock.t.AddDate(0, 1, 0)
	if got := used(u); got != 0 || !u.due() {
		t.Errorf("%d bytes in the next month", got)
	}
	u.add("wwan0", quota, 7e6)
	if u.reset("wwan0"); used(u) != 0 {
		t.Errorf("%d bytes after a reset", used(u))
	}
}

// TestUsageTravels: a period begins once, whichever time zones the laptop is in
// when it is counted.
func TestUsageTravels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "u")
	quota := config.LinkPolicy{Quota: 100e6, ResetDay: 1, AtQuota: "off"}
	for _, stop := range []struct {
		now  string
		used uint64 // before 10 MB more
	}{
		{"2026-11-10T12:00:00+01:00", 0},
		{"2026-11-11T12:00:00Z", 10e6},
		{"2026-11-12T12:00:00-08:00", 20e6},
		{"2026-11-13T12:00:00+09:00", 30e6},
		{"2026-12-01T00:30:00+09:00", 0},    // December has begun there,
		{"2026-11-30T08:00:00-08:00", 10e6}, // not yet here,
		{"2026-12-01T00:30:00-08:00", 20e6}, // and here it does not begin again
		{"2027-01-01T00:00:00-08:00", 0},
	} {
		now, err := time.Parse(time.RFC3339, stop.now)
		if err != nil {
			t.Fatal(err)
		}
		u, err := openUsage(path, (&calendar{now}).now)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.account("wwan0", quota).Bytes; got != stop.used {
			t.Errorf("%s: %d bytes used, want %d", stop.now, got, stop.used)
		}
		u.add("wwan0", quota, 10e6)
		if err := u.save(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUsageThatCannotBeWritten: it is tried again, also when nothing more is
// used, and not at every look.
func TestUsageThatCannotBeWritten(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "sub")
	path := filepath.Join(folder, "u")
	clock := &calendar{time.Date(2026, 11, 23, 10, 0, 0, 0, time.Local)}
	quota := config.LinkPolicy{Quota: 100e6, ResetDay: 1, AtQuota: "off"}
	u, err := openUsage(path, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !u.add("wwan0", quota, 100e6) || !u.due() || u.save() == nil {
		t.Fatal("not used up, not to be written, or written below a file")
	}
	clock.t = clock.t.Add(usagePause - 1)
	if u.due() {
		t.Error("to be written again at once")
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	clock.t = clock.t.Add(1)
	if !u.due() {
		t.Error("not to be written any more")
	}
	if err := u.save(); err != nil {
		t.Fatal(err)
	}
	if u, err = openUsage(path, clock.now); err != nil || u.account("wwan0", quota).Bytes != 100e6 {
		t.Errorf("%d bytes after a restart, %v", u.account("wwan0", quota).Bytes, err)
	}
}

func TestUsageIsBounded(t *testing.T) {
	clock := &calendar{time.Date(2026, 1, 1, 0, 0, 0, 0, time.Local)}
	u, err := openUsage(filepath.Join(t.TempDir(), "u"), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 * maxAccounts {
		clock.t = clock.t.AddDate(0, 1, 0)
		u.add(strings.Repeat("x", n), config.LinkPolicy{Quota: 1e6, ResetDay: 1}, 1)
	}
	if len(u.links) > maxAccounts {
		t.Errorf("%d accounts, want at most %d", len(u.links), maxAccounts)
	}
}

func TestDamagedUsageCountsFromZero(t *testing.T) {
	for _, text := range []string{"", "{", `{"version":7}`, `{"version":1,"links":{"a":7}}`} {
		path := filepath.Join(t.TempDir(), "u")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		u, err := openUsage(path, time.Now)
		if err == nil || !strings.Contains(err.Error(), path+" makes no sense") || len(u.links) != 0 {
			t.Errorf("%q: %v", text, err)
		}
	}
}
