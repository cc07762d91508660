package emu

import "golang.org/x/sys/unix"

// batch is the number of frames that one system call takes or gives.
const batch = 32

// port is one end of a link. drops may be called beside the loop, which calls
// everything else between opening and closing.
type port interface {
	// fd is what to poll.
	fd() int
	// receive reads up to batch frames into the slots, without waiting. A
	// slot's frame may be taken and replaced between calls.
	receive(slots *slots) (int, error)
	// transmit sends frames and returns how many went before the error.
	transmit(frames []*frame) (int, error)
	// drops returns the frames that were lost between the endpoint and the
	// emulator since the port was opened.
	drops() (portDrops, error)
	close() error
}

// portDrops are frames lost outside the models.
type portDrops struct {
	socket uint64 // the emulator did not read them in time
	device uint64 // the other side's kernel did not take them
}

// slots are where frames are received.
type slots struct {
	frames  [batch]*frame
	size    [batch]int   // length on the wire; more than frameBytes: cut off
	arrival [batch]int64 // wall clock, ns; 0: not known
}

// linkDown says whether a frame could not be sent because the interface is
// down, gone or without a carrier, which is no fault of the emulator. For the
// carrier an AF_PACKET socket that bypasses the queueing discipline says
// ENOBUFS, a TAP EIO. (The interface's flags would tell up to a second later.)
// A full backlog of the other side is ENOBUFS too; HiddenDrops.Backlog shows it.
func linkDown(err error) bool {
	switch err {
	case unix.ENETDOWN, unix.ENOBUFS, unix.ENXIO, unix.ENODEV, unix.EIO, unix.EBADFD:
		return true
	}
	return false
}

// temporary says whether an error only means that there is nothing to do now.
func temporary(err error) bool { return err == unix.EAGAIN || err == unix.EINTR }

func (d *portDrops) add(e portDrops) {
	d.socket += e.socket
	d.device += e.device
}
