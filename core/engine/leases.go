package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/core/hostnet"
)

// leaseVersion is the version of the lease file's format.
const leaseVersion = 1

// lease is what a client has been given, by its public key.
type lease struct {
	Key string `json:"key"`
	ID  uint32 `json:"id"`
	// Used is when a session last began, in Unix seconds, but later than those
	// of all others: the order counts, and clocks are set back.
	Used int64 `json:"used"`
}

// fixed are the addresses that the configuration gives a client; the zero Addr
// where it gives none.
type fixed struct{ v4, v6 netip.Addr }

// leases gives every known client its id and addresses and keeps them across
// restarts. Not safe for concurrent use.
type leases struct {
	path     string
	pools    pools
	fixed    map[string]fixed
	reserved map[uint32]string // ids whose addresses a client has by configuration
	byKey    map[string]*lease
	byID     map[uint32]*lease
	now      func() time.Time
	unsaved  bool // leases were used since the file was written
}

// errPoolExhausted is why a client got no address.
var errPoolExhausted = errors.New("the address pool is used up")

// openLeases reads the lease file, which need not exist. known are the keys
// of the configured clients with their fixed addresses.
func openLeases(path string, p pools, known map[string]fixed, now func() time.Time) (*leases, error) {
	l := &leases{path: path, pools: p, now: now, byKey: make(map[string]*lease), byID: make(map[uint32]*lease)}
	l.configure(known)
	stored, err := readLeases(path)
	if err != nil {
		return nil, err
	}
	for _, s := range stored {
		if l.fits(s) && l.byID[s.ID] == nil && l.byKey[s.Key] == nil {
			l.set(s)
		}
	}
	return l, nil
}

// configure says which clients there are and which addresses they have by
// configuration. Leases that do not fit are forgotten.
func (l *leases) configure(known map[string]fixed) {
	l.fixed, l.reserved = known, make(map[uint32]string)
	for key, f := range known {
		for _, a := range []netip.Addr{f.v4, f.v6} {
			if id, ok := l.pools.id(a); ok {
				l.reserved[id] = key
			}
		}
	}
	for key, c := range l.byKey {
		if !l.fits(*c) {
			delete(l.byKey, key)
			delete(l.byID, c.ID)
		}
	}
}

// fits says whether a lease is a known client's and possible.
func (l *leases) fits(c lease) bool {
	_, known := l.fixed[c.Key]
	return known && l.allowed(c.ID, c.Key)
}

func readLeases(path string) ([]lease, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("address leases: %w", err)
	}
	var file struct {
		Version int     `json:"version"`
		Leases  []lease `json:"leases"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("address leases %s are damaged (%w): remove the file, clients then get new addresses", path, err)
	}
	if file.Version != leaseVersion {
		return nil, fmt.Errorf("address leases %s have version %d, this program knows %d: remove the file, clients then get new addresses", path, file.Version, leaseVersion)
	}
	return file.Leases, nil
}

// take gives a client its lease: the one it has, else a free id, else that of
// the client which has been away longest. connected says who is not away.
func (l *leases) take(key string, connected func(key string) bool) (lease, error) {
	if got := l.byKey[key]; got != nil {
		got.Used, l.unsaved = l.stamp(), true
		return *got, nil
	}
	id, ok := l.free(key)
	if !ok {
		if id, ok = l.reclaim(key, connected); !ok {
			return lease{}, fmt.Errorf("%w: all %d addresses of %v are held by connected clients",
				errPoolExhausted, max(0, int(l.pools.last())-serverID), l.pools)
		}
	}
	got := lease{Key: key, ID: id, Used: l.stamp()}
	l.set(got)
	return got, l.save()
}

// stamp is the time for a lease that is used now.
func (l *leases) stamp() int64 {
	t := l.now().Unix()
	for _, c := range l.byKey {
		t = max(t, c.Used+1)
	}
	return t
}

// addresses returns the tunnel addresses of a lease.
func (l *leases) addresses(of lease) (v4, v6 netip.Prefix) {
	v4, v6 = l.pools.of(of.ID)
	f := l.fixed[of.Key]
	if f.v4.IsValid() && v4.IsValid() {
		v4 = netip.PrefixFrom(f.v4, v4.Bits())
	}
	if f.v6.IsValid() && v6.IsValid() {
		v6 = netip.PrefixFrom(f.v6, v6.Bits())
	}
	return v4, v6
}

// free returns the id that the client's fixed address asks for, else the
// lowest that nobody has.
func (l *leases) free(key string) (uint32, bool) {
	f := l.fixed[key]
	for _, a := range []netip.Addr{f.v4, f.v6} {
		if id, ok := l.pools.id(a); ok && l.byID[id] == nil {
			return id, true
		}
	}
	for id := uint32(serverID + 1); id <= l.pools.last(); id++ {
		if l.byID[id] == nil && l.allowed(id, key) {
			return id, true
		}
	}
	return 0, false
}

// reclaim takes the lease away from the client that has been away longest.
func (l *leases) reclaim(key string, connected func(string) bool) (uint32, bool) {
	var oldest *lease
	for _, c := range l.byKey {
		if connected(c.Key) || !l.allowed(c.ID, key) {
			continue
		}
		if oldest == nil || c.Used < oldest.Used || c.Used == oldest.Used && c.ID < oldest.ID {
			oldest = c
		}
	}
	if oldest == nil {
		return 0, false
	}
	delete(l.byKey, oldest.Key)
	delete(l.byID, oldest.ID)
	return oldest.ID, true
}

// allowed says whether an id is in the pools and not another client's by
// configuration.
func (l *leases) allowed(id uint32, key string) bool {
	owner, taken := l.reserved[id]
	return id > serverID && id <= l.pools.last() && (!taken || owner == key)
}

func (l *leases) set(got lease) {
	l.byKey[got.Key] = &got
	l.byID[got.ID] = &got
}

// save replaces the lease file in one step.
func (l *leases) save() error {
	list := make([]lease, 0, len(l.byKey))
	for _, c := range l.byKey {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b lease) int { return strings.Compare(a.Key, b.Key) })
	data, err := json.MarshalIndent(map[string]any{"version": leaseVersion, "leases": list}, "", "  ")
	if err == nil {
		err = hostnet.ReplaceFile(l.path, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("address leases: %w", err)
	}
	l.unsaved = false
	return nil
}

// close writes what is not in the file yet: who has used a lease. That waits for the
// end, since it is worth no write when a client comes, and after a crash costs nothing
// but an older order in reclaim.
func (l *leases) close() error {
	if !l.unsaved {
		return nil
	}
	return l.save()
}
