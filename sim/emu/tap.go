package emu

import (
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/songgao/water"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// TAP is an interface of an endpoint whose other side is the emulator itself:
// a port for users who may not open AF_PACKET sockets, and a cross-check of
// those. It needs no change of offloads, for the kernel completes and cuts
// frames for a TAP. It has no receive timestamps, so it is less accurate.
type TAP struct {
	device *water.Interface
	file   int
	name   string
	ns     netns.NsHandle
}

// OpenTAP makes a TAP interface in ns, which is the endpoint's namespace. The
// interface goes away with Close, or when the link it is attached to is
// detached.
func OpenTAP(ns netns.NsHandle, name string) (*TAP, error) {
	if len(name) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("interface name %q has more than %d characters", name, unix.IFNAMSIZ-1)
	}
	own, err := duplicate(ns)
	if err != nil {
		return nil, err
	}
	t := &TAP{name: name, ns: own}
	err = nsdo.In(ns, func() (err error) {
		t.device, err = water.New(water.Config{
			DeviceType:             water.TAP,
			PlatformSpecificParams: water.PlatformSpecificParams{Name: name},
		})
		return err
	})
	if err == nil {
		t.file, err = descriptor(t.device.ReadWriteCloser)
	}
	if err != nil {
		own.Close()
		return nil, fmt.Errorf("TAP %s: %w", name, err)
	}
	unix.CloseOnExec(t.file)
	return t, nil
}

// descriptor returns the file descriptor below a water device, which stays in
// non-blocking mode.
func descriptor(device io.ReadWriteCloser) (fd int, err error) {
	conn, ok := device.(syscall.Conn)
	if !ok {
		return 0, errors.New("the device has no file descriptor")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	return fd, raw.Control(func(f uintptr) { fd = int(f) })
}

// Close removes the interface.
func (t *TAP) Close() error {
	return errors.Join(t.device.Close(), t.ns.Close())
}

func (t *TAP) fd() int { return t.file }

func (t *TAP) receive(slots *slots) (int, error) {
	for i := range batch {
		n, err := unix.Read(t.file, slots.frames[i].bytes[:])
		if err != nil {
			if i > 0 {
				err = nil
			}
			return i, err
		}
		slots.size[i], slots.arrival[i] = n, 0
	}
	return batch, nil
}

func (t *TAP) transmit(frames []*frame) (int, error) {
	for i, f := range frames {
		if _, err := unix.Write(t.file, f.data()); err != nil {
			return i, err
		}
	}
	return len(frames), nil
}

func (t *TAP) drops() (portDrops, error) {
	dropped, err := deviceDrops(t.ns, t.name)
	return portDrops{socket: dropped}, err
}

func (t *TAP) close() error { return t.Close() }
