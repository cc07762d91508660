package emu

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// onThread runs fn in a new goroutine with an operating system thread of its
// own, which ends with fn. It is never the process's main thread, for that
// thread's namespace is what /proc/self shows and it cannot end.
func onThread(fn func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			fn()
			return
		}
		// While this goroutine holds the main thread, the next one gets
		// another.
		done := make(chan struct{})
		go func() {
			defer close(done)
			runtime.LockOSThread()
			fn()
		}()
		<-done
		runtime.UnlockOSThread()
	}()
}

// inNamespace runs fn on a thread inside ns and waits for it.
func inNamespace(ns netns.NsHandle, fn func() error) error {
	result := make(chan error, 1)
	onThread(func() {
		if err := netns.Set(ns); err != nil {
			result <- fmt.Errorf("enter namespace: %w", err)
			return
		}
		result <- fn()
	})
	return <-result
}

// newNamespace makes a namespace that lives as long as the handle.
func newNamespace() (netns.NsHandle, error) {
	var ns netns.NsHandle
	result := make(chan error, 1)
	onThread(func() {
		var err error
		ns, err = netns.New()
		result <- err
	})
	if err := <-result; err != nil {
		return netns.None(), fmt.Errorf("make a network namespace: %w", err)
	}
	return ns, nil
}

// duplicate returns a handle of its own for ns.
func duplicate(ns netns.NsHandle) (netns.NsHandle, error) {
	fd, err := unix.FcntlInt(uintptr(ns), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return netns.None(), fmt.Errorf("keep the namespace: %w", err)
	}
	return netns.NsHandle(fd), nil
}
