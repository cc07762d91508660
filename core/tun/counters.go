package tun

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Counters are totals since the device was opened.
type Counters struct {
	ReadBatches uint64 `json:"read_batches"`
	ReadPackets uint64 `json:"read_packets"` // a super-packet counts once
	// ReadMalformed are packets from the kernel whose vnet header contradicts
	// them.
	ReadMalformed uint64 `json:"read_malformed"`

	WritePackets uint64 `json:"write_packets"` // handed to Write
	WriteCalls   uint64 `json:"write_calls"`   // writes that delivered them
	// WriteDown are packets dropped because the interface was down, by write:
	// a super-packet counts once. So do the next three.
	WriteDown     uint64 `json:"write_down"`
	WriteOversize uint64 `json:"write_oversize"`
	// WriteRefused are packets the kernel did not take as IP.
	WriteRefused  uint64 `json:"write_refused"`
	WriteNoBuffer uint64 `json:"write_no_buffer"`
	// WriteMalformed are packets said to be Partial or super-packets that are
	// not whole TCP or UDP packets.
	WriteMalformed uint64 `json:"write_malformed"`
}

type counters struct {
	readBatches, readPackets, readMalformed atomic.Uint64

	writePackets, writeCalls               atomic.Uint64
	writeDown, writeOversize, writeRefused atomic.Uint64
	writeNoBuffer, writeMalformed          atomic.Uint64
}

// Counters returns the totals so far.
func (c *counters) Counters() Counters {
	return Counters{
		ReadBatches:    c.readBatches.Load(),
		ReadPackets:    c.readPackets.Load(),
		ReadMalformed:  c.readMalformed.Load(),
		WritePackets:   c.writePackets.Load(),
		WriteCalls:     c.writeCalls.Load(),
		WriteDown:      c.writeDown.Load(),
		WriteOversize:  c.writeOversize.Load(),
		WriteRefused:   c.writeRefused.Load(),
		WriteNoBuffer:  c.writeNoBuffer.Load(),
		WriteMalformed: c.writeMalformed.Load(),
	}
}

// wrote counts the outcome of one write and returns the errors that are more
// than a lost packet.
func (c *counters) wrote(err error) error {
	switch {
	case err == nil:
		c.writeCalls.Add(1)
	case errors.Is(err, unix.EIO):
		c.writeDown.Add(1)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EMSGSIZE):
		c.writeRefused.Add(1)
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		c.writeNoBuffer.Add(1)
	default:
		return err
	}
	return nil
}
