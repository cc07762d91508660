package hostnet

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockWait bounds how long a process waits for another one that applies or
// undoes its changes. Either takes well under a second.
const lockWait = 10 * time.Second

// lockState keeps other processes out of the state directory, so that what
// several tunnels share is counted right. The kernel drops the lock when its
// holder dies.
func lockState(stateDir string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(stateDir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("hostnet: lock: %w", err)
	}
	deadline := time.Now().Add(lockWait)
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			_ = file.Close()
			return nil, fmt.Errorf("hostnet: lock %s: %w", file.Name(), err)
		}
		if time.Now().After(deadline) {
			_ = file.Close()
			return nil, fmt.Errorf("hostnet: %s after %v: %w", file.Name(), lockWait, ErrLocked)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
