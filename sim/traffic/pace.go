package traffic

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// pace calls send with 0, 1, 2 and so on, less than most, an interval (in ns)
// after another from the traffic's start to its end. While ready says no it
// waits, and what would have been sent meanwhile is not made up for. The thread
// sleeps by itself: the runtime's timers are late by up to a millisecond.
func (j Job) pace(ctx context.Context, interval float64, most int, ready func() bool, send func(number int)) {
	runtime.LockOSThread() // never unlocked: the thread's timer slack is ours
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	begin := j.Origin.Add(j.Start)
	for number := 0; number < most && ctx.Err() == nil; {
		due := begin.Add(time.Duration(float64(number) * interval))
		if !due.Before(j.deadline()) {
			return
		}
		threadSleep(time.Until(due))
		if !ready() {
			threadSleep(peerPoll)
			begin = time.Now().Add(-time.Duration(float64(number) * interval))
			continue
		}
		send(number)
		number++
	}
}

// peerPoll is how often a host that sends looks whether the client is known.
const peerPoll = 5 * time.Millisecond

// threadSleep puts the calling thread to sleep.
func threadSleep(d time.Duration) {
	if d <= 0 {
		return
	}
	t := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&t, nil) // an early end makes the next datagram early by as little
}
