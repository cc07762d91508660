package emu

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSleep bounds a poll, in nanoseconds.
const maxSleep = int64(10 * time.Millisecond)

// preparePromptThread makes the calling thread's timers exact to the
// nanosecond instead of the usual 50 µs.
func preparePromptThread() error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set the timer slack: %w", err)
	}
	return nil
}

// Processor time reserved for the emulator's thread, in nanoseconds.
const (
	reservedTime   = uint64(700 * time.Microsecond)
	reservedPeriod = uint64(time.Millisecond)
)

// reserveTime asks for processor time of the calling thread's own
// (SCHED_DEADLINE, sched(7)), and beyond it for what others leave. Programs
// under test, which may keep all processors busy, then delay the emulator by
// fractions of a millisecond instead of many. A fixed priority would not do:
// the kernel stops such threads for 50 ms of each second of competition.
//
// It is refused without the right to it, when other reservations take up the
// machine, and to processes that are bound to some of the processors.
func reserveTime() error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{
		Policy:   unix.SCHED_DEADLINE,
		Flags:    unix.SCHED_FLAG_RESET_ON_FORK | unix.SCHED_FLAG_RECLAIM,
		Runtime:  reservedTime,
		Deadline: reservedPeriod,
		Period:   reservedPeriod,
	}, 0)
}

// poll waits for events, at most for a timeout in nanoseconds. The Go
// scheduler does not hear of it, and so does not give this thread's processor
// slot to another: getting one back could take milliseconds on a busy machine.
// (When it needs the thread, its signal ends the call.) The timeout must be
// short because of that.
func poll(fds []unix.PollFd, timeout int64) error {
	t := unix.NsecToTimespec(timeout)
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)),
		uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
