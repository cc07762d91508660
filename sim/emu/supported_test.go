package emu

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// loopback is a kernel that has a loopback interface and refuses a kind.
type loopback struct {
	recorder
	errno unix.Errno
}

func (l *loopback) index(string) (int, error) { return 1, nil }

func (l *loopback) execute(r *nl.NetlinkRequest) error {
	if describe(r) == l.fail {
		return l.errno
	}
	return l.recorder.execute(r)
}

func TestSupported(t *testing.T) {
	for _, c := range []struct {
		fail  string
		errno unix.Errno
		want  bool
		says  string
	}{
		{"", 0, true, "took netem"},
		{"netem", unix.ENOENT, false, "lacks sch_netem"},
		{"bfifo", unix.ENOENT, false, "lacks sch_fifo"},
		{"u32", unix.ENOENT, false, "lacks cls_u32 or act_mirred"},
		{"tbf", unix.EPERM, false, "refused tbf: operation not permitted"},
	} {
		got, why := supported(&loopback{recorder: recorder{fail: c.fail}, errno: c.errno})
		if got != c.want || !strings.Contains(why, c.says) {
			t.Errorf("without %q: %v, %q; want %v, %q", c.fail, got, why, c.want, c.says)
		}
	}
}

func TestSupportedHere(t *testing.T) {
	needRoot(t)
	got, why := Supported()
	if why == "" {
		t.Error("no reason was given")
	}
	t.Log(got, why)
}
