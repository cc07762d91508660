package tun

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"sync"

	"github.com/multilink-vpn/multilink/core"
)

// PipeEnd is the far side of a device in memory: what the kernel is to a real
// one.
type PipeEnd struct {
	in     []chan core.Packet // of each queue
	out    chan core.Packet
	closed chan struct{}
}

// Inject puts a copy of p into the queue that its destination asks for, as the
// kernel does with a packet that is routed into the tunnel. It says whether there
// was room.
func (e *PipeEnd) Inject(p core.Packet) bool {
	p.Data = bytes.Clone(p.Data)
	select {
	case <-e.closed:
		return false
	default:
	}
	select {
	case e.in[way(p.Data, len(e.in))] <- p:
		return true
	default:
		return false
	}
}

// way is which of several queues a packet belongs in: that of steer, without the
// kinds.
func way(p []byte, ways int) int {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		return int(binary.BigEndian.Uint32(p[16:]) % uint32(ways))
	case len(p) >= 40 && p[0]>>4 == 6:
		return int(binary.BigEndian.Uint32(p[36:]) % uint32(ways))
	}
	return 0
}

// Collect returns the next packet that was written to the device, as it was
// written: it may be Partial. It waits for one until ctx ends or the device is
// closed and everything was collected.
func (e *PipeEnd) Collect(ctx context.Context) (core.Packet, error) {
	select {
	case p := <-e.out:
		return p, nil
	default:
	}
	select {
	case p := <-e.out:
		return p, nil
	case <-e.closed:
		return core.Packet{}, os.ErrClosed
	case <-ctx.Done():
		return core.Packet{}, ctx.Err()
	}
}

// pipe is the near side.
type pipe struct {
	counters
	PipeEnd
	name   string
	queues []Queue
	once   sync.Once
}

// pipeQueue is one of its queues.
type pipeQueue struct {
	device *pipe
	in     <-chan core.Packet
}

// NewPipe makes a device in memory for tests, with queues for so many ways, 0 is 1,
// and one kind. Each holds up to depth packets, and so do the packets written,
// together. What Write finds no room for is counted as WriteNoBuffer.
func NewPipe(name string, depth, ways int) (Device, *PipeEnd) {
	p := &pipe{name: name, PipeEnd: PipeEnd{out: make(chan core.Packet, depth), closed: make(chan struct{})}}
	for range max(1, ways) {
		in := make(chan core.Packet, depth)
		p.in = append(p.in, in)
		p.queues = append(p.queues, &pipeQueue{p, in})
	}
	return p, &p.PipeEnd
}

func (d *pipe) Name() string { return d.name }

func (d *pipe) Queues() []Queue { return d.queues }

func (d *pipe) Info() Info {
	return Info{Mode: ModePortable, Offloads: []string{}, Queues: len(d.queues), Reason: "in memory"}
}

func (d *pipe) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

func (q *pipeQueue) Read(b *Batch) error {
	b.Packets = b.Packets[:0]
	select {
	case <-q.device.closed:
		return os.ErrClosed
	case p := <-q.in:
		b.Packets = append(b.Packets, p)
	}
	for len(b.Packets) < maxBatch {
		select {
		case p := <-q.in:
			b.Packets = append(b.Packets, p)
			continue
		default:
		}
		break
	}
	q.device.readBatches.Add(1)
	q.device.readPackets.Add(uint64(len(b.Packets)))
	return nil
}

func (q *pipeQueue) Write(pkts []core.Packet) error {
	d := q.device
	for _, p := range pkts {
		select {
		case <-d.closed:
			return os.ErrClosed
		default:
		}
		d.writePackets.Add(1)
		p.Data = bytes.Clone(p.Data)
		select {
		case d.out <- p:
			d.writeCalls.Add(1)
		default:
			d.writeNoBuffer.Add(1)
		}
	}
	return nil
}
