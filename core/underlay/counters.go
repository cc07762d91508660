package underlay

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Counters are totals since the socket was opened.
type Counters struct {
	ReadBatches   uint64 `json:"read_batches"`
	ReadDatagrams uint64 `json:"read_datagrams"`
	ReadBytes     uint64 `json:"read_bytes"`
	// ReadTruncated are datagrams longer than the buffer, which were dropped.
	ReadTruncated uint64 `json:"read_truncated"`
	// ICMPErrors are errors that ICMP messages left on the socket.
	ICMPErrors uint64 `json:"icmp_errors"`

	WriteDatagrams uint64 `json:"write_datagrams"` // that the kernel took
	WriteBytes     uint64 `json:"write_bytes"`
	WriteMessages  uint64 `json:"write_messages"` // a run counts once
	// The next three are dropped datagrams: beyond the MTU, for want of
	// buffer, and because of the error that Write returned.
	WriteTooBig   uint64 `json:"write_too_big"`
	WriteNoBuffer uint64 `json:"write_no_buffer"`
	WriteFailed   uint64 `json:"write_failed"`
}

type counters struct {
	readBatches, readDatagrams, readBytes, readTruncated, icmpErrors atomic.Uint64

	writeDatagrams, writeBytes, writeMessages atomic.Uint64
	writeTooBig, writeNoBuffer, writeFailed   atomic.Uint64
}

// Counters returns the totals so far.
func (c *counters) Counters() Counters {
	return Counters{
		ReadBatches:    c.readBatches.Load(),
		ReadDatagrams:  c.readDatagrams.Load(),
		ReadBytes:      c.readBytes.Load(),
		ReadTruncated:  c.readTruncated.Load(),
		ICMPErrors:     c.icmpErrors.Load(),
		WriteDatagrams: c.writeDatagrams.Load(),
		WriteBytes:     c.writeBytes.Load(),
		WriteMessages:  c.writeMessages.Load(),
		WriteTooBig:    c.writeTooBig.Load(),
		WriteNoBuffer:  c.writeNoBuffer.Load(),
		WriteFailed:    c.writeFailed.Load(),
	}
}

// read counts the batch that a Read returns.
func (c *counters) read(b *Batch) {
	bytes := 0
	for i := range b.Datagrams {
		bytes += len(b.Datagrams[i].Data)
	}
	c.readBatches.Add(1)
	c.readDatagrams.Add(uint64(len(b.Datagrams)))
	c.readBytes.Add(uint64(bytes))
}

// wrote counts one message that the kernel took.
func (c *counters) wrote(bytes, segment int) {
	c.writeMessages.Add(1)
	c.writeBytes.Add(uint64(bytes))
	c.writeDatagrams.Add(datagrams(bytes, segment))
}

// lost counts a message that was not sent because of err, where that is about
// the message alone, and otherwise returns err.
func (c *counters) lost(bytes, segment int, err error) error {
	n := datagrams(bytes, segment)
	switch {
	case errors.Is(err, unix.EMSGSIZE):
		c.writeTooBig.Add(n)
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		c.writeNoBuffer.Add(n)
	default:
		return err
	}
	return nil
}
