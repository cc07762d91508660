// Package tune sets up the process that stands for the rest of the world: it
// goes before the programs under test.
package tune

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Processors and garbage collection for a process with an emulator: its thread
// must find a processor slot free whenever it wakes, and collections, which
// delay all threads a little, should be rare.
const (
	tunedProcs = 4
	tunedGC    = 400
)

// tunedNice is the niceness of such a process. The emulator's thread has
// reserved time, but 100 times a second Go's scheduler takes its slot away and
// another thread of the process must give it back; on busy processors that
// thread would keep it waiting for milliseconds.
const tunedNice = -20

// usualNice is the niceness of the process before Process.
var usualNice atomic.Int32

// Process sets this process up for an emulator, as far as its rights go, and
// returns what undoes that. A program that runs scenarios calls it once, at its
// start. Everything in the process then goes before other processes: it stands
// for the rest of the world, which does not get slower when the programs under
// test are busy. Those must be started from a thread that called Ordinary.
func Process() (restore func()) {
	procs := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(procs, tunedProcs))
	percent := debug.SetGCPercent(tunedGC)
	before := niceness()
	if before != tunedNice {
		usualNice.Store(int32(before))
	}
	reniceAll(tunedNice)
	return func() {
		reniceAll(before)
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(percent)
	}
}

// Ordinary gives the calling thread, which must be locked to its goroutine, the
// priority that the process had before Process, and with it the processes that are
// started from it.
func Ordinary() error {
	return unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), int(usualNice.Load()))
}

// niceness returns that of the calling thread, -20 to 19.
func niceness() int {
	// The system call says 20 - niceness, to be positive.
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return 0
	}
	return 20 - raw
}

// reniceAll changes all threads of the process; later ones inherit it. Without
// the right to it, the process stays as it is.
func reniceAll(nice int) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			unix.Setpriority(unix.PRIO_PROCESS, id, nice)
		}
	}
}
