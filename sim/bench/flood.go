package bench

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

const (
	// floodFlows is how many UDP flows take turns, packet by packet: a tunnel
	// cannot treat what it reads in one go as one flow.
	floodFlows = 8
	// floodBatch is how many packets one system call sends or receives.
	floodBatch = 64
	// floodPause is how often the receiver looks at its sockets. It does not
	// wait for each packet, so that it costs next to nothing beside the tunnel.
	floodPause = time.Millisecond
	// floodBuffer holds what comes meanwhile, in bytes.
	floodBuffer = 16 << 20
)

// flood sends UDP packets from the client to the server as fast as one thread
// can, and counts what arrives.
type flood struct {
	sizes    []int // of the payloads, in turn
	to       []netip.AddrPort
	from     int   // the sending socket
	into     []int // the receiving ones, one per flow
	stop     atomic.Bool
	received atomic.Int64 // packets
	running  sync.WaitGroup
}

func openFlood(t *tunnel, sizes []int) (*flood, error) {
	f := &flood{sizes: sizes, from: -1}
	for i := range floodFlows {
		at := netip.AddrPortFrom(t.server, uint16(9000+i))
		fd, err := udpSocket(t.world.server, at)
		if err != nil {
			f.close()
			return nil, fmt.Errorf("UDP socket on %s: %w", at, err)
		}
		f.into, f.to = append(f.into, fd), append(f.to, at)
	}
	var err error
	if f.from, err = udpSocket(t.world.client, netip.AddrPortFrom(t.client, 0)); err != nil {
		f.close()
		return nil, fmt.Errorf("UDP socket on %s: %w", t.client, err)
	}
	return f, nil
}

// udpSocket makes a socket without the runtime's poller, whose wake-ups would
// count.
func udpSocket(ns netns.NsHandle, at netip.AddrPort) (fd int, err error) {
	err = nsdo.In(ns, func() error {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, floodBuffer)
		if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
			_ = unix.Close(fd)
			return err
		}
		return nil
	})
	return fd, err
}

// start makes the flood run until close.
func (f *flood) start() {
	f.running.Go(f.send)
	f.running.Go(f.receive)
}

func (f *flood) close() {
	f.stop.Store(true)
	f.running.Wait()
	for _, fd := range f.into {
		_ = unix.Close(fd)
	}
	if f.from >= 0 {
		_ = unix.Close(f.from)
	}
}

// send takes turns between flows and sizes, each at its own length so that
// every flow sees every size.
func (f *flood) send() {
	payload := make([]byte, 65536)
	names := make([]unix.RawSockaddrInet4, len(f.to))
	for i, to := range f.to {
		names[i] = rawAddress(to)
	}
	m := newMessages(floodBatch)
	size := 0
	for !f.stop.Load() {
		for i := range m.headers {
			flow := i % len(names)
			if flow == 0 {
				size++
			}
			h := &m.headers[i].Hdr
			h.Name, h.Namelen = (*byte)(unsafe.Pointer(&names[flow])), unix.SizeofSockaddrInet4
			m.iovecs[i].Base = &payload[0]
			m.iovecs[i].SetLen(f.sizes[(size+flow)%len(f.sizes)])
		}
		// What a full queue refuses is part of the flood.
		_, _, _ = unix.Syscall6(unix.SYS_SENDMMSG, uintptr(f.from), m.pointer(), floodBatch, 0, 0, 0)
	}
}

func (f *flood) receive() {
	m := newMessages(floodBatch)
	var first [1]byte // the rest of a packet is cut off
	for i := range m.iovecs {
		m.iovecs[i].Base = &first[0]
		m.iovecs[i].SetLen(len(first))
	}
	for !f.stop.Load() {
		for _, fd := range f.into {
			for {
				n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), m.pointer(), floodBatch, unix.MSG_DONTWAIT, 0, 0)
				if errno != 0 {
					break
				}
				f.received.Add(int64(n))
				if n < floodBatch {
					break
				}
			}
		}
		time.Sleep(floodPause)
	}
}

// messages is the memory of sendmmsg and recvmmsg.
type messages struct {
	headers []unix.Mmsghdr
	iovecs  []unix.Iovec
}

func newMessages(n int) *messages {
	m := &messages{headers: make([]unix.Mmsghdr, n), iovecs: make([]unix.Iovec, n)}
	for i := range m.headers {
		m.headers[i].Hdr.Iov = &m.iovecs[i]
		m.headers[i].Hdr.SetIovlen(1)
	}
	return m
}

func (m *messages) pointer() uintptr { return uintptr(unsafe.Pointer(&m.headers[0])) }

func rawAddress(a netip.AddrPort) unix.RawSockaddrInet4 {
	r := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	port := (*[2]byte)(unsafe.Pointer(&r.Port))
	port[0], port[1] = byte(a.Port()>>8), byte(a.Port())
	return r
}
