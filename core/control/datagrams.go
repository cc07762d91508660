package control

import (
	"encoding/binary"
	"sync"
	"time"
)

// maxQueued bounds the datagrams that wait to be written, in bytes: what is on its
// way at 80 Mbit/s and 0.1 s, so that a connection that stands still for a moment
// costs time and no datagram. What waits in the kernel is bounded by TCP_NOTSENT_LOWAT.
const maxQueued = 1 << 20

// keepQueued bounds the memory that an empty queue keeps, in each of its two halves.
const keepQueued = 128 << 10

// datagrams are those that a control connection carries, where UDP does not get
// through: messages of a type of their own, whose body is the datagram.
type datagrams struct {
	handle func([]byte)
	body   []byte // of the one being received

	mu      sync.Mutex
	queue   []byte // whole messages
	spare   []byte
	writing bool // somebody takes from the queue
}

// OnDatagram sets what is called, by Receive, with each datagram that comes; it
// is borrowed. It must be called before Receive. Without it datagrams are skipped.
func (c *Conn) OnDatagram(handle func(d []byte)) { c.datagrams.handle = handle }

// WriteDatagrams sends data as datagrams of segment bytes, of which the last may
// be shorter. It never waits: it returns how many were dropped for want of room.
func (c *Conn) WriteDatagrams(data []byte, segment int) (dropped int) {
	g := &c.datagrams
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(data) > 0 {
		n := min(segment, len(data))
		if len(g.queue)+headerLen+n > maxQueued {
			dropped++
		} else {
			g.queue = append(g.queue, byte(kindDatagram))
			g.queue = binary.BigEndian.AppendUint32(g.queue, uint32(n))
			g.queue = append(g.queue, data[:n]...)
		}
		data = data[n:]
	}
	if len(g.queue) > 0 && !g.writing {
		g.writing = true
		go c.writeQueued()
	}
	return dropped
}

// writeQueued writes until the queue is empty. After an error, which ends the
// connection, nobody writes any more.
func (c *Conn) writeQueued() {
	g := &c.datagrams
	for {
		g.mu.Lock()
		batch := g.queue
		if len(batch) == 0 {
			g.writing = false
			g.queue, g.spare = modest(g.queue), modest(g.spare)
			g.mu.Unlock()
			return
		}
		g.queue, g.spare = g.spare[:0], nil
		g.mu.Unlock()
		if c.write(batch) != nil {
			_ = c.tls.NetConn().Close() // Receive tells of it
			return
		}
		g.mu.Lock()
		g.spare = batch
		g.mu.Unlock()
	}
}

// modest lets go of memory that is more than an empty queue keeps.
func modest(b []byte) []byte {
	if cap(b) > keepQueued {
		return nil
	}
	return b
}

// write sends whole messages; others wait.
func (c *Conn) write(messages []byte) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	if err := c.tls.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := c.tls.Write(messages)
	return err
}
