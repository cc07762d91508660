package tun

import (
	"bytes"
	"context"
	"os"
	"sync"

	"github.com/multilink-vpn/multilink/core"
)

// PipeEnd is the far side of a device in memory: what the kernel is to a real
// one.
type PipeEnd struct {
	in, out chan core.Packet
	closed  chan struct{}
}

// Inject puts a copy of p where the device's Read finds it, as the kernel
// does with a packet that is routed into the tunnel. It says whether there
// was room.
func (e *PipeEnd) Inject(p core.Packet) bool {
	p.Data = bytes.Clone(p.Data)
	select {
	case <-e.closed:
		return false
	default:
	}
	select {
	case e.in <- p:
		return true
	default:
		return false
	}
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
	name string
	once sync.Once
}

// NewPipe makes a device in memory for tests, which holds up to depth packets
// in each direction. What Write finds no room for is counted as
// WriteNoBuffer.
func NewPipe(name string, depth int) (Device, *PipeEnd) {
	p := &pipe{name: name, PipeEnd: PipeEnd{
		in:     make(chan core.Packet, depth),
		out:    make(chan core.Packet, depth),
		closed: make(chan struct{}),
	}}
	return p, &p.PipeEnd
}

func (d *pipe) Name() string { return d.name }

func (d *pipe) Queues() []Queue { return []Queue{d} }

func (d *pipe) Info() Info {
	return Info{Mode: ModePortable, Offloads: []string{}, Queues: 1, Reason: "in memory"}
}

func (d *pipe) Close() error {
	d.once.Do(func() { close(d.closed) })
	return nil
}

func (d *pipe) Read(b *Batch) error {
	b.Packets = b.Packets[:0]
	select {
	case <-d.closed:
		return os.ErrClosed
	case p := <-d.in:
		b.Packets = append(b.Packets, p)
	}
	for len(b.Packets) < maxBatch {
		select {
		case p := <-d.in:
			b.Packets = append(b.Packets, p)
			continue
		default:
		}
		break
	}
	d.readBatches.Add(1)
	d.readPackets.Add(uint64(len(b.Packets)))
	return nil
}

func (d *pipe) Write(pkts []core.Packet) error {
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
