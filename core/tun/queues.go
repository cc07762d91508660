package tun

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/gso"
)

// fastQueue is one of the queues of a device.
type fastQueue struct {
	device *fastDevice
	file   *os.File
	raw    syscall.RawConn

	mu    sync.Mutex
	batch *Batch // of the Read under way
	err   error
	step  func(fd uintptr) bool

	writer writer
}

// openQueues makes the interface with a queue for each kind of packet and way,
// and a program by which the kernel chooses among them. It takes no interface
// that exists: others could be attached to that.
func openQueues(o Options, k kernel) (fds []int, err error) {
	program, err := k.steering(max(1, o.Ways))
	if err != nil {
		return nil, err
	}
	defer program.Close() // the interface keeps it
	defer func() {
		if err != nil {
			closeAll(fds)
		}
	}()
	flags := uint16(unix.IFF_MULTI_QUEUE | unix.IFF_TUN_EXCL)
	for range kinds * max(1, o.Ways) {
		fd, err := openQueue(o.Name, flags)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
		flags = unix.IFF_MULTI_QUEUE
	}
	if err := unix.IoctlSetPointerInt(fds[0], unix.TUNSETSTEERINGEBPF, program.FD()); err != nil {
		return fds, fmt.Errorf("this kernel's TUN takes no program that chooses among several: %w", err)
	}
	return fds, nil
}

// openQueue attaches a queue to the interface, with more flags of TUNSETIFF.
func openQueue(name string, flags uint16) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, explain(name, err)
	}
	if err := attach(fd, name, flags); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func attach(fd int, name string, flags uint16) error {
	features, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	if err != nil || features&unix.IFF_VNET_HDR == 0 {
		return errNoFastMode
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return explain(name, err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return explain(name, err)
	}
	return nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// addQueue makes a queue of an attached file.
func (d *fastDevice) addQueue(file *os.File) error {
	q := &fastQueue{device: d, file: file}
	q.step, q.writer.step = q.readSome, q.writeSome
	q.writer.coalescer = gso.Coalescer{TCP: d.joinTCP, UDP: d.joinUDP}
	d.queues = append(d.queues, q)
	var err error
	q.raw, err = file.SyscallConn()
	return err
}

func (q *fastQueue) Read(b *Batch) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.reset()
	q.batch, q.err = b, nil
	err := q.raw.Read(q.step)
	if err == nil {
		err = q.err
	}
	if err != nil {
		return q.device.failed("read from", err)
	}
	q.device.readBatches.Add(1)
	q.device.readPackets.Add(uint64(len(b.Packets)))
	return nil
}

// readSome fills the batch with what is there; false means to wait for more.
func (q *fastQueue) readSome(fd uintptr) bool {
	b := q.batch
	for {
		room := b.room()
		if room == nil {
			return true
		}
		n, err := unix.Read(int(fd), room)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return len(b.Packets) > 0
		default:
			q.err = err
			return true
		}
		p, err := decodeVnet(room[:n])
		if err != nil {
			q.device.readMalformed.Add(1)
			continue
		}
		b.Packets = append(b.Packets, p)
		b.used += n
	}
}
