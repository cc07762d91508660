package emu

import (
	"runtime"
	"runtime/debug"
)

// Processors and garbage collection for a process with an emulator: its thread
// must find a processor free whenever it wakes, and collections, which delay
// all threads a little, should be rare.
const (
	tunedProcs = 4
	tunedGC    = 400
)

// Tune sets the Go runtime up for an emulator in this process and returns what
// undoes that. A program that runs scenarios calls it once at its start.
func Tune() (restore func()) {
	procs := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(max(procs, tunedProcs))
	percent := debug.SetGCPercent(tunedGC)
	return func() {
		runtime.GOMAXPROCS(procs)
		debug.SetGCPercent(percent)
	}
}
