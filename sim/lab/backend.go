package lab

import (
	"fmt"

	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/emu"
)

// The backends that impair links.
const (
	impairAuto  = "auto"
	impairUser  = "user"
	impairNetem = "netem"
)

// backends are the ones to try, in order: netem where it is asked for or where
// the kernel has it, but captures of links need the emulator in user space.
func backends(o Options) []string {
	switch o.Impair {
	case impairUser, impairNetem:
		return []string{o.Impair}
	}
	if o.PcapDir != "" {
		return []string{impairUser}
	}
	if ok, _ := emu.Supported(); ok {
		return []string{impairNetem, impairUser}
	}
	return []string{impairUser}
}

func newImpairer(backend string, ns netns.NsHandle, o emu.Options) (emu.Impairer, error) {
	if backend == impairUser {
		return emu.NewUser(ns, o)
	}
	if ok, why := emu.Supported(); !ok {
		return nil, fmt.Errorf("the netem backend: %s", why)
	}
	return emu.NewNetem(ns, o)
}
