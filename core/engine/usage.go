package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/hostnet"
	"github.com/multilink-vpn/multilink/core/underlay"
	"github.com/multilink-vpn/multilink/core/wire"
)

const (
	usageVersion = 1
	// maxAccounts bounds the names in the usage file.
	maxAccounts = 64
	// How much may be used since the file was last written: usageShare of the
	// quota, or anything for usageAge.
	usageShare = 0.001
	usagePause = 10 * time.Second
	usageAge   = 5 * time.Minute
)

// account is what a link with a quota has carried in its present period.
type account struct {
	// Period is the first day of the period.
	Period   time.Time `json:"period"`
	ResetDay int       `json:"reset_day"`
	Bytes    uint64    `json:"bytes"` // with outer headers, both directions

	unsaved uint64
	quota   uint64
}

// usage counts what links with quotas carry, over restarts. Not safe for
// concurrent use.
type usage struct {
	path  string
	now   func() time.Time
	links map[string]*account // by interface
	// saved is when the file was last written, or was to be written and could
	// not be: then failed is set.
	saved  time.Time
	failed bool
}

// openUsage reads the usage file, which need not exist. A file that makes no
// sense is an error, and counting begins anew.
func openUsage(path string, now func() time.Time) (*usage, error) {
	u := &usage{path: path, now: now, links: make(map[string]*account), saved: now()}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return u, fmt.Errorf("usage of quotas: %w", err)
	}
	var file struct {
		Version int                 `json:"version"`
		Links   map[string]*account `json:"links"`
	}
	err = json.Unmarshal(data, &file)
	if err == nil && file.Version != usageVersion {
		err = fmt.Errorf("version %d, this program knows %d", file.Version, usageVersion)
	}
	if err != nil {
		return u, fmt.Errorf("usage of quotas: %s makes no sense (%w): counting from zero", path, err)
	}
	for name, a := range file.Links {
		if a != nil {
			u.links[name] = a
		}
	}
	return u, nil
}

// account returns the account of a link with a quota, of the present period.
func (u *usage) account(name string, p config.LinkPolicy) *account {
	now := u.now()
	period := periodOf(now, p.ResetDay)
	a := u.links[name]
	if a == nil {
		u.makeRoom()
		a = &account{Period: period, ResetDay: p.ResetDay}
		u.links[name] = a
	}
	a.quota = p.Quota
	switch {
	case a.ResetDay != p.ResetDay, a.Period.After(now):
		// Another day was chosen, or the clock was wrong: what has been used
		// stays used.
		a.Period, a.ResetDay = period, p.ResetDay
	case period.Format(time.DateOnly) > a.Period.Format(time.DateOnly):
		// Not as moments: the same day begins later further west.
		a.Period, a.Bytes, a.unsaved = period, 0, p.Quota // to be saved at once
	}
	return a
}

// makeRoom forgets the account whose period is the oldest when there are too
// many.
func (u *usage) makeRoom() {
	if len(u.links) < maxAccounts {
		return
	}
	oldest := ""
	for name, a := range u.links {
		if oldest == "" || a.Period.Before(u.links[oldest].Period) {
			oldest = name
		}
	}
	delete(u.links, oldest)
}

// add counts what a link has carried, and tells whether its quota is used up.
func (u *usage) add(name string, p config.LinkPolicy, bytes uint64) (exhausted bool) {
	a := u.account(name, p)
	before := a.Bytes
	a.Bytes += bytes
	a.unsaved += bytes
	if before < p.Quota && a.Bytes >= p.Quota {
		a.unsaved += p.Quota // to be saved at once
	}
	return a.Bytes >= p.Quota
}

// reset begins the count of a link anew.
func (u *usage) reset(name string) {
	if a := u.links[name]; a != nil {
		a.Bytes, a.unsaved = 0, a.quota
	}
}

// due tells whether the file is worth writing: seldom, and at once when a quota
// is used up or has begun anew, but not right after it could not be written.
func (u *usage) due() bool {
	since := u.now().Sub(u.saved)
	if u.failed && since >= 0 && since < usagePause {
		return false
	}
	for _, a := range u.links {
		switch {
		case a.unsaved == 0:
		case a.unsaved >= a.quota, since < 0, since >= usageAge,
			since >= usagePause && float64(a.unsaved) >= usageShare*float64(a.quota):
			return true
		}
	}
	return false
}

// save replaces the file in one step. What could not be written is due again.
func (u *usage) save() error {
	u.saved, u.failed = u.now(), false
	unsaved := false
	for _, a := range u.links {
		unsaved = unsaved || a.unsaved > 0
	}
	if !unsaved {
		return nil
	}
	data, err := json.MarshalIndent(map[string]any{"version": usageVersion, "links": u.links}, "", "  ")
	if err == nil {
		err = hostnet.ReplaceFile(u.path, append(data, '\n'))
	}
	if err != nil {
		u.failed = true
		return fmt.Errorf("usage of quotas: %w", err)
	}
	for _, a := range u.links {
		a.unsaved = 0
	}
	return nil
}

// periodOf returns the last day, at midnight, on which a quota began anew.
func periodOf(now time.Time, day int) time.Time {
	begin := resetDay(now.Year(), now.Month(), day, now.Location())
	if begin.After(now) {
		begin = resetDay(now.Year(), now.Month()-1, day, now.Location())
	}
	return begin
}

// nextPeriod returns the next such day.
func nextPeriod(now time.Time, day int) time.Time {
	begin := periodOf(now, day)
	return resetDay(begin.Year(), begin.Month()+1, day, now.Location())
}

// resetDay is a day of a month, or the last day of a month that has it not.
func resetDay(year int, month time.Month, day int, loc *time.Location) time.Time {
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, loc)
	return time.Date(last.Year(), last.Month(), min(day, last.Day()), 0, 0, 0, 0, loc)
}

// outerBytes is what a socket has carried, with UDP and IP headers.
func outerBytes(n underlay.Counters, v4 bool) uint64 {
	return n.ReadBytes + n.WriteBytes + uint64(wire.OuterLen(v4))*(n.ReadDatagrams+n.WriteDatagrams)
}
