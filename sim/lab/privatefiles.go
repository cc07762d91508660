package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// hidden are folders through which a program would reach services of the
// machine that the testbed runs on: it sees empty ones.
var hidden = []string{"/run/dbus", "/run/systemd"}

// privateFiles gives the programs of one machine of the topology files of
// their own: an /etc that is the real one but for resolv.conf and hosts, which
// a program may change as it likes, and no way to the system's services. The
// mounts hold for the programs alone.
func privateFiles(folder, resolvConf, hostsFile string) ([]nsdo.Mount, error) {
	etc, real, empty := filepath.Join(folder, "etc"), filepath.Join(folder, "etc-real"), filepath.Join(folder, "empty")
	for _, dir := range []string{etc, real, empty} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	entries, err := os.ReadDir("/etc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Name() == "resolv.conf" || e.Name() == "hosts" {
			continue
		}
		target := filepath.Join(real, e.Name())
		if e.Type()&os.ModeSymlink != 0 {
			// As it is: if it is relative, it means the same in the new /etc.
			if target, err = os.Readlink(filepath.Join("/etc", e.Name())); err != nil {
				return nil, err
			}
		}
		if err := os.Symlink(target, filepath.Join(etc, e.Name())); err != nil && !os.IsExist(err) {
			return nil, err
		}
	}
	for name, text := range map[string]string{"resolv.conf": resolvConf, "hosts": hostsFile} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	mounts := []nsdo.Mount{{Source: "/etc", Target: real}, {Source: etc, Target: "/etc"}}
	for _, dir := range hidden {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			mounts = append(mounts, nsdo.Mount{Source: empty, Target: dir})
		}
	}
	return mounts, nil
}

// hostsFile is the hosts file of a topology: the server under its name.
func hostsFile(families []int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "127.0.0.1 localhost\n::1 localhost\n")
	for _, family := range families {
		fmt.Fprintf(&b, "%s %s\n", serverAddress(family), serverName)
	}
	return b.String()
}

// resolvConf names the resolver that anyone reaches before there is a tunnel.
func resolvConf() string {
	return fmt.Sprintf("nameserver %s\n", hostAddress(1, 4))
}
