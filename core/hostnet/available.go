package hostnet

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Available tells whether this process may change the network, as ErrPrivilege
// if it may not. It is meant to be asked before anything is started.
func Available() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // capabilities 0..31 and 32..63, capget(2)
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("hostnet: read capabilities: %w", err)
	}
	return checkCapability(sets[0].Effective)
}

func checkCapability(effective uint32) error {
	if effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return fmt.Errorf("hostnet: %w", ErrPrivilege)
	}
	return nil
}
