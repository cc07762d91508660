package tun

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// writer is what the Write of a queue needs: one at a time.
type writer struct {
	mu        sync.Mutex
	expander  expander
	coalescer gso.Coalescer
	groups    []gso.Group // still to be written by the Write under way
	err       error
	vnet      [vnetLen]byte
	iovecs    []unix.Iovec
	step      func(fd uintptr) bool
}

func (q *fastQueue) Write(pkts []core.Packet) error {
	d, w := q.device, &q.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	d.writePackets.Add(uint64(len(pkts)))
	groups, malformed := w.coalescer.Coalesce(w.expander.expand(pkts, &d.counters))
	d.writeMalformed.Add(uint64(malformed))
	w.groups, w.err = groups, nil
	err := q.raw.Write(w.step)
	if err == nil {
		err = w.err
	}
	return d.failed("write to", err)
}

// writeSome writes the groups that are left; false means to wait until the
// device takes more.
func (q *fastQueue) writeSome(fd uintptr) bool {
	d, w := q.device, &q.writer
	for len(w.groups) > 0 {
		g := &w.groups[0]
		if g.Partial && !d.checksum {
			if gso.Complete(g.Parts[0]) != nil {
				d.writeMalformed.Add(1)
				w.groups = w.groups[1:]
				continue
			}
			g.Partial = false
		}
		err := w.writeGroup(fd, g)
		if err == unix.EAGAIN {
			return false
		}
		w.groups = w.groups[1:]
		if err = d.wrote(err); err != nil {
			w.err = err
			return true
		}
	}
	return true
}

// writeGroup gathers the parts of a group behind their vnet header.
func (w *writer) writeGroup(fd uintptr, g *gso.Group) error {
	encodeVnet(&w.vnet, g)
	w.iovecs = append(w.iovecs[:0], iovec(w.vnet[:]))
	for _, part := range g.Parts {
		w.iovecs = append(w.iovecs, iovec(part))
	}
	for {
		_, _, errno := unix.Syscall(unix.SYS_WRITEV, fd,
			uintptr(unsafe.Pointer(&w.iovecs[0])), uintptr(len(w.iovecs)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return errno
	}
}

// iovec points at b, which is not empty.
func iovec(b []byte) unix.Iovec {
	v := unix.Iovec{Base: &b[0]}
	v.SetLen(len(b))
	return v
}
