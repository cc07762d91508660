package underlay

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ringMessages is the number of messages that one system call receives. Each
// has room for a run.
const ringMessages = 16

// ring is the memory for the messages of one recvmmsg.
type ring struct {
	messages [ringMessages]unix.Mmsghdr
	iovecs   [ringMessages]unix.Iovec
	names    [ringMessages]rawAddr
	oobs     [ringMessages][oobLen]byte
	buffer   []byte
}

// newRing makes the memory. The headers point into it for good.
func newRing() *ring {
	r := &ring{buffer: make([]byte, ringMessages*maxDatagram)}
	for i := range r.messages {
		r.iovecs[i].Base = &r.buffer[i*maxDatagram]
		r.iovecs[i].SetLen(maxDatagram)
		h := &r.messages[i].Hdr
		h.Iov = &r.iovecs[i]
		h.SetIovlen(1)
		h.Name = &r.names[i][0]
		h.Control = &r.oobs[i][0]
	}
	return r
}

// receive fills the messages with what is there and returns how many it
// filled.
func (r *ring) receive(fd uintptr) (int, unix.Errno) {
	for i := range r.messages {
		h := &r.messages[i].Hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(oobLen)
		h.Flags = 0
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.messages[0])),
		ringMessages, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// message returns the data and control messages of the i-th message, and
// whether both came whole.
func (r *ring) message(i int) (data, oob []byte, whole bool) {
	m := &r.messages[i]
	data = r.buffer[i*maxDatagram:][:min(int(m.Len), maxDatagram)]
	oob = r.oobs[i][:m.Hdr.Controllen]
	return data, oob, m.Hdr.Flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) == 0
}
