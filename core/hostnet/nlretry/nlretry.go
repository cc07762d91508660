// Package nlretry repeats netlink dumps that the kernel interrupted.
package nlretry

import (
	"errors"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// attempts bounds how often a dump is repeated. A dump is interrupted when
// the table changes while it is read; more than a few in a row means a table
// that never rests.
const attempts = 10

// Dump calls list until it returns a consistent answer. The kernel marks a
// dump that a change overtook with NLM_F_DUMP_INTR, and may answer EINTR: both
// mean that entries can be missing or doubled, and that asking again helps.
func Dump[T any](list func() (T, error)) (T, error) {
	var result T
	var err error
	for range attempts {
		result, err = list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			return result, err
		}
	}
	return result, err
}
