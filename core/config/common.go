package config

import (
	"net/netip"
	"path/filepath"
	"time"

	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/control"
	"github.com/multilink-vpn/multilink/core/reseq"
	"github.com/multilink-vpn/multilink/core/sched"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/wire"
)

// DefaultPort is the port of control connections (TCP) and datagrams (UDP).
const DefaultPort = 5410

// How a device or socket works.
const (
	ModeAuto     = "auto"     // fast where the kernel can, else portable
	ModeFast     = "fast"     // with segmentation offload
	ModePortable = "portable" // one packet per call
)

// Address families.
const (
	FamilyAny = "any"
	Family4   = "4"
	Family6   = "6"
)

// What a client does about name servers.
const (
	DNSAuto = "auto" // uses those of the server
	DNSOff  = "off"  // leaves the host's alone
)

// Where clients and servers keep files unless the configuration says otherwise.
const (
	RunDir = "/run/multilink"     // until the next boot: status sockets, a client's journal
	VarDir = "/var/lib/multilink" // for longer: a server's journal and leases, usage of quotas
)

const (
	defaultTUN        = "multilink0"
	defaultMTU        = wire.DefaultMTU
	defaultGrace      = 10 * time.Minute
	defaultMark       = 0x4d4c // "ML"
	defaultTable      = 0x4d4c
	defaultMaxClients = 1000
	maxMaxClients     = 100000
)

var (
	defaultPool4 = netip.MustParsePrefix("10.8.0.0/24")
	defaultPool6 = netip.MustParsePrefix("fd4d:4c::/64")
	modes        = []string{ModeAuto, ModeFast, ModePortable}
)

func usageFile(tun string) string { return filepath.Join(VarDir, tun+".usage.json") }

func statusSocket(tun string) string { return filepath.Join(RunDir, tun+".sock") }

func decodeStrategy(t *table) control.Strategy {
	st := control.Strategy{
		Scheduler:   perDirection(t, "scheduler", sched.Default, sched.Names()),
		Reorder:     perDirection(t, "reorder", reseq.Default, reseq.Names()),
		RateControl: get(t, "rate_control", true, boolean),
		Retransmit:  get(t, "retransmit", true, boolean),
		Equalize:    get(t, "equalize", session.EqualizeAuto, oneOf(session.EqualizeModes()...)),
		Reports:     get(t, "reports", session.ReportsAuto, oneOf(session.ReportModes()...)),
		Classifier:  get(t, "classifier", classify.Default, oneOf(classify.Names()...)),
	}
	return st
}

// perDirection reads a name for both directions, or a table with one for each.
func perDirection(t *table, key, def string, names []string) control.PerDirection {
	if _, ok := t.values[key].(map[string]any); ok {
		d := t.table(key)
		return control.PerDirection{
			Up:   get(d, "up", def, oneOf(names...)),
			Down: get(d, "down", def, oneOf(names...)),
		}
	}
	name := get(t, key, def, oneOf(names...))
	return control.PerDirection{Up: name, Down: name}
}

func decodeLog(t *table) Log {
	return Log{
		Level:  get(t, "level", "info", oneOf("debug", "info", "warn", "error")),
		Format: get(t, "format", "text", oneOf("text", "json")),
	}
}

// decodePrivateKey reads the two ways to give a private key, of which exactly
// one must be used.
func decodePrivateKey(t *table) (key control.PrivateKey, file string) {
	t.secret("private_key")
	key = get(t, "private_key", control.PrivateKey{}, privateKey)
	file = get(t, "private_key_file", "", nonEmpty)
	_, inline := t.values["private_key"]
	_, outside := t.values["private_key_file"]
	switch {
	case inline && outside:
		t.fail("private_key_file", show(t.values["private_key_file"]), "", "private_key is set too: remove one of them")
	case !inline && !outside && !t.d.partial:
		t.missing("private_key", `private_key = "..." with what 'multilink keygen' printed, or private_key_file`)
	}
	return key, file
}
