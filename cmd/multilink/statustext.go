package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/core/config"
	"github.com/multilink-vpn/multilink/core/engine"
)

// showText prints a status for people, in the manner of `wg show`.
func showText(w io.Writer, s engine.Status) error {
	p := &printer{w: w}
	p.head(s.Role, s.TUN.Name)
	p.line("state", "%s%s", s.State, because(s.Reason))
	p.line("running", "%v, pid %d, version %s", seconds(s.Uptime), s.PID, s.Version)
	p.line("device", "%s", device(s.TUN))
	for _, text := range s.Warnings {
		p.line("warning", "%s", text)
	}
	if s.Listen != "" {
		p.line("listening", "%s", s.Listen)
	}
	if s.Session != nil {
		p.session(*s.Session)
	}
	p.links(s.Links)
	for _, name := range slices.Sorted(maps.Keys(s.Rejected)) {
		p.line("not used", "%s: %s", name, s.Rejected[name])
	}
	for _, c := range s.Clients {
		p.head("client", c.Name)
		p.line("public key", "%s", c.Key)
		p.session(c.SessionStatus)
		p.links(c.Links)
	}
	p.drops(s.Counters)
	return p.err
}

// printer writes lines and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) head(kind, name string) { p.printf("%s: %s\n", kind, name) }

func (p *printer) line(key, format string, args ...any) {
	p.printf("  %s: %s\n", key, fmt.Sprintf(format, args...))
}

func (p *printer) session(s engine.SessionStatus) {
	p.line("addresses", "%s, mtu %d", strings.Join(s.Addresses, ", "), s.MTU)
	p.line("session", "%s, for %v, %s", s.ID, seconds(s.Since), s.Suite)
	p.line("strategy", "scheduler %s, reorder %s, rate control %s, retransmit %s, equalize %s, classifier %s, reports %s",
		s.Scheduler, s.Reorder, onOff(s.RateControl), onOff(s.Retransmit), s.Equalize, s.Classifier, s.Reports)
	p.line("packets", "%s received, %s sent", size(s.Counters.RxBytes), size(s.Counters.TxBytes))
}

func (p *printer) links(links []engine.LinkStatus) {
	for _, l := range links {
		p.printf("\n")
		p.head("  link", l.Name)
		p.line("  state", "%s (%s), control %s for %v", l.State, l.Role, l.Control, seconds(l.Since))
		if l.RoleReason != "" {
			p.line("  "+l.Role, "%s", l.RoleReason)
		}
		if q := l.Quota; q != nil {
			p.line("  quota", "%s of %s used, begins anew on %s", config.ShowVolume(q.Used), config.ShowVolume(q.Limit), q.Resets)
		}
		if l.LastError != "" {
			p.line("  last error", "%s", l.LastError)
		}
		if l.Address != "" || l.Remote != "" {
			p.line("  path", "%s -> %s", cmp.Or(l.Address, "?"), cmp.Or(l.Remote, l.Server))
		}
		if l.SRTT > 0 {
			p.line("  rtt", "%s, varies by %s, least %s", milliseconds(l.SRTT), milliseconds(l.RTTVar), milliseconds(l.MinRTT))
		}
		p.line("  loss", "%.1f %% sending, %.1f %% receiving", 100*l.Loss, 100*l.RxLoss)
		if l.Rate > 0 {
			p.line("  rate", "%s", rate(l.Rate))
		}
		if l.Transport == "tcp" {
			p.line("  transport", "tcp: UDP does not get through, the control connection carries the data")
		}
		if l.Underlay.Reason != "" {
			p.line("  socket", "%s%s", l.Underlay.Mode, because(l.Underlay.Reason))
		}
		if l.PMTU > 0 {
			p.line("  path mtu", "%d", l.PMTU)
		}
		p.line("  transfer", "%s received, %s sent", size(l.RxBytes), size(l.TxBytes))
	}
	if len(links) > 0 {
		p.printf("\n")
	}
}

// drops lists what was dropped, if anything was.
func (p *printer) drops(c engine.Counters) {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if c[name] > 0 && strings.Contains(name, "drop") {
			list = append(list, fmt.Sprintf("%s %d", name, c[name]))
		}
	}
	if len(list) > 0 {
		p.line("dropped", "%s", strings.Join(list, ", "))
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func seconds(s float64) time.Duration {
	return (time.Duration(s * float64(time.Second))).Round(time.Second)
}

func milliseconds(s float64) string { return fmt.Sprintf("%.1f ms", 1000*s) }

func rate(bits float64) string {
	switch {
	case bits >= 1e9:
		return fmt.Sprintf("%.2f Gbit/s", bits/1e9)
	case bits >= 1e6:
		return fmt.Sprintf("%.1f Mbit/s", bits/1e6)
	}
	return fmt.Sprintf("%.0f kbit/s", bits/1e3)
}

func size(bytes uint64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	v, i := float64(bytes)/1024, 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	return fmt.Sprintf("%.2f %ciB", v, units[i])
}

// device describes the TUN device in a few words.
func device(t engine.TUNStatus) string {
	text := string(t.Mode)
	if len(t.Offloads) > 0 {
		text += " (" + strings.Join(t.Offloads, " ") + ")"
	}
	if t.Queues > 1 {
		text += fmt.Sprintf(", %d queues", t.Queues)
	}
	return text + because(t.Reason)
}
