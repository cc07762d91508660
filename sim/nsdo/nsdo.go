// Package nsdo runs code inside network namespaces and starts programs there.
//
// A network namespace belongs to an OS thread, and goroutines move between
// threads. A socket, however, stays in the namespace it was made in: make it
// inside In, then use it anywhere.
package nsdo

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/tune"
)

// OnThread runs fn in a new goroutine with an OS thread of its own, which ends
// with fn: what fn does to the thread need not be undone. It is never the
// process's main thread, which stands for the whole process in /proc and cannot
// end.
func OnThread(fn func()) {
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

// In runs fn on a thread that is inside ns and returns what fn returns. fn must
// not start goroutines that make sockets of their own: those would run
// elsewhere.
func In(ns netns.NsHandle, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		origin, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("this thread's network namespace: %w", err)
			return
		}
		defer origin.Close()
		if err := netns.Set(ns); err != nil {
			runtime.UnlockOSThread()
			done <- fmt.Errorf("entering the network namespace: %w", err)
			return
		}
		err = fn()
		// A thread that cannot go back must not serve other goroutines: it
		// stays locked and ends with this one.
		if back := netns.Set(origin); back == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// folder is where network namespaces have names, by the convention of
// iproute2.
const folder = "/run/netns"

// shareFolder makes the folder a mount of its own that shares what is mounted
// below with other mount namespaces. `ip netns add` does the same if nobody
// has, and would hide the namespaces that are there already.
func shareFolder() error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer dir.Close() // and the lock with it
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	share := func() error { return unix.Mount("", folder, "none", unix.MS_SHARED|unix.MS_REC, "") }
	if err := share(); !errors.Is(err, unix.EINVAL) {
		return err
	}
	// EINVAL: it is no mount yet.
	if err := unix.Mount(folder, folder, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return share()
}

// New makes a network namespace that lives as long as its handle or a process
// in it.
func New() (netns.NsHandle, error) {
	ns := netns.None()
	done := make(chan error, 1)
	OnThread(func() {
		var err error
		ns, err = netns.New()
		done <- err
	})
	if err := <-done; err != nil {
		return netns.None(), fmt.Errorf("making a network namespace: %w", err)
	}
	return ns, nil
}

// Create makes a network namespace that has a name in /run/netns, so that
// `ip netns exec NAME` finds it.
func Create(name string) (netns.NsHandle, error) {
	ns := netns.None()
	if err := shareFolder(); err != nil {
		return ns, fmt.Errorf("preparing %s: %w", folder, err)
	}
	here, err := netns.Get()
	if err != nil {
		return ns, fmt.Errorf("this thread's network namespace: %w", err)
	}
	defer here.Close()
	// NewNamed moves its thread into the new namespace; In brings it back.
	err = In(here, func() error {
		ns, err = netns.NewNamed(name)
		return err
	})
	if err != nil {
		return netns.None(), fmt.Errorf("making network namespace %s: %w", name, err)
	}
	return ns, nil
}

// Delete removes a namespace that Create made. One that is gone already is no
// error. The kernel ends the namespace itself once no process is in it and no
// handle on it is open.
func Delete(name string) error {
	err := netns.DeleteNamed(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if errors.Is(err, unix.EINVAL) { // the file is there, the mount is not
		err = os.Remove(filepath.Join(folder, name))
	}
	if err != nil {
		return fmt.Errorf("removing network namespace %s: %w", name, err)
	}
	return nil
}

// Mount is a file or folder that a started program sees in place of another.
type Mount struct {
	Source, Target string
}

// forgetNamespaces drops this mount namespace's copies of the named network
// namespaces, which would keep them alive as long as the program runs.
func forgetNamespaces() {
	names, _ := filepath.Glob(folder + "/*")
	for _, name := range names {
		_ = unix.Unmount(name, unix.MNT_DETACH) // not a mount: nothing to drop
	}
}

// Start starts cmd inside ns, with a mount namespace of its own in which the
// given mounts hold. They are made in order and vanish with the program.
//
// The thread is given up afterwards, not cleaned: what is done to it cannot be
// undone. The program must therefore not be tied to the life of the thread
// (no Pdeathsig).
func Start(ns netns.NsHandle, cmd *exec.Cmd, mounts []Mount) error {
	done := make(chan error, 1)
	OnThread(func() { done <- startHere(ns, cmd, mounts) })
	return <-done
}

// startHere starts cmd from the calling thread, which must end afterwards.
func startHere(ns netns.NsHandle, cmd *exec.Cmd, mounts []Mount) error {
	if err := netns.Set(ns); err != nil {
		return fmt.Errorf("entering the network namespace: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("a mount namespace of its own: %w", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	forgetNamespaces()
	for _, m := range mounts {
		if err := unix.Mount(m.Source, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mounting %s over %s: %w", m.Source, m.Target, err)
		}
	}
	// The testbed goes before other processes (tune.Process); what it starts
	// is under test and does not.
	if err := tune.Ordinary(); err != nil {
		return fmt.Errorf("the usual priority: %w", err)
	}
	return cmd.Start()
}
