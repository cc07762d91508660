package underlay

import (
	"errors"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
)

// sendMessages is the number of messages that one system call sends.
const sendMessages = 64

// retryRuns is how long after a run could not be sent another is tried: what failed
// may have been the way to one client of many, or one network of a laptop's.
const retryRuns = time.Minute

// sender is the state of the Write under way on a fastConn, and the memory of
// its messages.
type sender struct {
	conn *fastConn
	step func(fd uintptr) bool
	// transmit is sendmmsg: it returns how many messages went, or why the
	// first did not. Tests put a kernel that cannot do everything here.
	transmit func(fd uintptr, messages []unix.Mmsghdr) (int, unix.Errno)
	now      func() time.Time
	failedAt time.Time // when a run could not be sent; with conn.noGSO

	rest    []byte // still to be sent
	segment int
	single  int   // bytes at the start of rest that must go one by one
	last    error // why the first message of rest was tried again, if it was
	err     error // what Write ends with

	name     rawAddr
	oob      []byte // control messages: local address, then segment size
	localLen int    // length of the first of them
	messages [sendMessages]unix.Mmsghdr
	iovecs   [sendMessages]unix.Iovec
}

func (s *sender) init(c *fastConn) {
	s.conn, s.step, s.transmit, s.now = c, s.send, sendmmsg, time.Now
	s.oob = make([]byte, 0, oobLen)
	for i := range s.messages {
		s.messages[i].Hdr.Iov = &s.iovecs[i]
		s.messages[i].Hdr.SetIovlen(1)
	}
}

func sendmmsg(fd uintptr, messages []unix.Mmsghdr) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&messages[0])),
		uintptr(len(messages)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func (c *fastConn) Write(data []byte, segment int, p core.Path) error {
	if len(data) == 0 {
		return nil
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	s := &c.sender
	s.rest, s.segment, s.single, s.last, s.err = data, segmentOf(data, segment), 0, nil, nil
	err := s.address(p)
	if err == nil {
		err = c.raw.Write(s.step)
	}
	if err == nil {
		err = s.err
	}
	if err != nil {
		return c.gaveUp(p, len(s.rest), s.segment, err)
	}
	return nil
}

// address prepares what all messages of the Write share: destination and
// control messages.
func (s *sender) address(p core.Path) error {
	s.oob, s.localLen = s.oob[:0], 0
	var nameLen uint32
	if !s.conn.connected() {
		if err := reaches(s.conn.v6, p.Remote, p.Local); err != nil {
			return err
		}
		nameLen = s.name.set(s.conn.v6, p.Remote)
		if p.Local.IsValid() {
			s.oob = appendLocal(s.oob, s.conn.v6, p.Local)
			s.localLen = len(s.oob)
		}
	}
	if s.segment < len(s.rest) {
		s.oob = appendSegment(s.oob, s.segment)
	}
	for i := range s.messages {
		h := &s.messages[i].Hdr
		h.Name, h.Namelen = nil, nameLen
		if nameLen > 0 {
			h.Name = &s.name[0]
		}
	}
	return nil
}

// send sends what is left. It never asks to wait: a full queue drops.
func (s *sender) send(fd uintptr) bool {
	for len(s.rest) > 0 && s.err == nil {
		sent, errno := s.transmit(fd, s.messages[:s.load()])
		for i := range sent {
			s.sent(int(s.iovecs[i].Len))
		}
		if errno != 0 {
			s.failed(int(s.iovecs[0].Len), errno)
		}
	}
	return true
}

// load fills messages from the start of rest and returns their number.
func (s *sender) load() int {
	rest, runs := s.rest, !s.conn.noGSO.Load() || s.now().Sub(s.failedAt) >= retryRuns
	n := 0
	for ; n < sendMessages && len(rest) > 0; n++ {
		size := runLen(len(rest), s.segment)
		if !runs || len(s.rest)-len(rest) < s.single {
			size = min(s.segment, len(rest))
		}
		s.iovecs[n].Base = &rest[0]
		s.iovecs[n].SetLen(size)
		h := &s.messages[n].Hdr
		oobLen := s.localLen
		if size > s.segment {
			oobLen = len(s.oob)
		}
		h.Control = nil
		if oobLen > 0 {
			h.Control = &s.oob[0]
		}
		h.SetControllen(oobLen)
		rest = rest[size:]
	}
	return n
}

// sent notes that the first message of rest went.
func (s *sender) sent(size int) {
	if s.last != nil {
		s.conn.icmpErrors.Add(1)
	}
	if size > s.segment && s.conn.noGSO.Load() {
		s.conn.noGSO.Store(false)
	}
	s.conn.wrote(size, s.segment)
	s.skip(size)
}

// skip moves on to the next message.
func (s *sender) skip(size int) {
	s.rest, s.single, s.last = s.rest[size:], max(0, s.single-size), nil
}

// failed decides what becomes of the first message of rest, which could not be
// sent.
func (s *sender) failed(size int, errno unix.Errno) {
	run := size > s.segment
	switch {
	case errno == unix.EINTR:
	case errno == unix.EIO && run:
		s.conn.noGSO.Store(true)
		s.failedAt = s.now()
	case errno == unix.EINVAL && run:
		// Older kernels say so, and not EMSGSIZE, when a datagram of the run
		// exceeds the MTU. Sent one by one, each shows its own error.
		s.single = size
	case byICMP(errno) && !errors.Is(s.last, errno):
		s.last = errno // try again: it may be about an earlier datagram
	default:
		if s.err = s.conn.lost(size, s.segment, errno); s.err == nil {
			s.skip(size)
		}
	}
}
