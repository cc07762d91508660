package tun

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"multilink0":            "",
		"fifteen-bytes-x":       "",
		"sixteen-bytes-xx":      "16 bytes, the kernel takes at most 15",
		"":                      "not a name",
		"..":                    "not a name",
		"a/b":                   "'/' is not allowed",
		"a b":                   "' ' is not allowed",
		"eth0:1":                "':' is not allowed",
		"tun%d":                 "'%' is not allowed",
		"straße":                "'ß' is not allowed",
		strings.Repeat("x", 99): "99 bytes",
	} {
		err := checkName(name)
		if want == "" && err != nil || want != "" && (!errors.Is(err, ErrName) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestOpenRefusesBadOptions(t *testing.T) {
	if _, err := Open(Options{Name: "sixteen-bytes-xx"}); !errors.Is(err, ErrName) {
		t.Errorf("long name: %v", err)
	}
	if _, err := Open(Options{Name: "x", Mode: "turbo"}); err == nil || !strings.Contains(err.Error(), `"turbo"`) {
		t.Errorf("unknown mode: %v", err)
	}
}

func TestExplain(t *testing.T) {
	for errno, want := range map[error]error{
		unix.ENOENT: ErrNoTUN,
		unix.EPERM:  ErrPermission,
		unix.EACCES: ErrPermission,
		unix.EBUSY:  ErrInUse,
		unix.EINVAL: ErrNotTUN,
		unix.EMFILE: unix.EMFILE,
	} {
		err := explain("multilink0", fmt.Errorf("wrapped: %w", &fs.PathError{Op: "open", Path: "/dev/net/tun", Err: errno}))
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "multilink0") {
			t.Errorf("%v: %v, want %v", errno, err, want)
		}
	}
}
