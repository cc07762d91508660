package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/report"
)

// collect adds what the links and the product say at the end of a run to what
// the traffic found.
func (r *run) collect(ctx context.Context) error {
	links := map[string]any{}
	for _, l := range r.topology.links {
		directions := map[string]any{}
		for _, d := range []emu.Direction{emu.Down, emu.Up} {
			s, err := r.topology.impairer.Stats(l.Name, d)
			if err != nil && !l.plugged {
				continue // it never was
			}
			if err != nil {
				return fmt.Errorf("counters of link %s: %w", l.Name, err)
			}
			directions[d.String()] = map[string]any{
				"bytes": s.BytesOut, "packets": s.PacketsOut, "dropped": s.Dropped(), "queued_max": s.QueuedMax,
			}
		}
		links[l.Name] = directions
	}
	r.found.measurements["link"] = links
	if r.product == nil {
		return nil
	}
	for _, end := range []*role{r.product.client, r.product.server} {
		if end.process == nil || !end.process.Running() {
			continue
		}
		status, err := r.product.status(ctx, end)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.broke("no status at the end: %v", err)
			continue
		}
		r.found.measurements[end.name] = status
	}
	if client, ok := r.found.measurements["client"].(map[string]any); ok {
		if took, ok := r.recovery.seconds(); ok {
			client["recovered_in"] = took
		}
	}
	return nil
}

// environmentSysctls are what a result depends on beside the scenario.
var environmentSysctls = []string{
	"net.core.netdev_max_backlog", "net.core.rmem_max", "net.core.wmem_max",
	"net.ipv4.tcp_congestion_control", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}

// environment describes the machine and the program under test.
func (r *run) environment(ctx context.Context) report.Environment {
	e := report.Environment{
		Kernel: kernelVersion(), Go: runtime.Version(), CPUs: runtime.NumCPU(),
		Sysctls: map[string]string{}, Commands: []string{},
	}
	if r.product != nil {
		if text, err := r.product.command(ctx, "version"); err == nil {
			e.Version = strings.TrimSpace(string(text))
		}
	}
	_ = nsdo.In(r.topology.client.ns, func() error {
		for _, key := range environmentSysctls {
			path := filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/"))
			if value, err := os.ReadFile(path); err == nil { // not every kernel shows every key here
				e.Sysctls[key] = strings.TrimSpace(string(value))
			}
		}
		return nil
	})
	return e
}

func kernelVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
}
