package emu

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/sniff"
)

// socketBuffer is the receive and send buffer asked for: a stall of 100 ms at
// 1 Gbit/s of MTU-sized frames, of which each counts about 2.5 times.
const socketBuffer = 32 << 20

// packetSocket is a port on an interface, by AF_PACKET (packet(7)).
type packetSocket struct {
	socket int
	name   string
	ns     netns.NsHandle

	rx, tx   [batch]mmsghdr
	rxVector [batch]unix.Iovec
	txVector [batch]unix.Iovec
	control  [batch][64]byte

	lost     uint64        // PACKET_STATISTICS so far; reading clears it
	refused  atomic.Uint64 // frames the device refused for want of a carrier
	txBefore uint64        // the device's tx_dropped when the port was opened
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// openPacketSocket opens a port on an interface of ns, which must stay open as
// long as the port.
func openPacketSocket(ns netns.NsHandle, name string) (*packetSocket, error) {
	s := &packetSocket{socket: -1, name: name, ns: ns}
	err := nsdo.In(ns, s.open)
	if err == nil {
		s.txBefore, err = deviceDrops(ns, name)
	}
	if err != nil {
		if s.socket >= 0 {
			unix.Close(s.socket)
		}
		return nil, fmt.Errorf("port %s: %w", name, err)
	}
	for i := range batch {
		s.rx[i].header.Iov = &s.rxVector[i]
		s.rx[i].header.SetIovlen(1)
		s.rx[i].header.Control = &s.control[i][0]
		s.tx[i].header.Iov = &s.txVector[i]
		s.tx[i].header.SetIovlen(1)
	}
	return s, nil
}

// open makes the socket. It is opened without a protocol and bound last, so
// that no frame comes in before the options are set.
func (s *packetSocket) open() error {
	device, err := net.InterfaceByName(s.name)
	if err != nil {
		return err
	}
	s.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("AF_PACKET socket: %w", err)
	}
	for _, o := range []struct {
		name                 string
		level, option, value int
	}{
		{"PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{"PACKET_QDISC_BYPASS", unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1},
		{"SO_TIMESTAMPNS", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1},
	} {
		if err := unix.SetsockoptInt(s.socket, o.level, o.option, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.name, err)
		}
	}
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		// Beyond the system's limit only with CAP_NET_ADMIN of the first user
		// namespace; what is missing shows up as drops.
		err := unix.SetsockoptInt(s.socket, unix.SOL_SOCKET, o[0], socketBuffer)
		if errors.Is(err, unix.EPERM) {
			err = unix.SetsockoptInt(s.socket, unix.SOL_SOCKET, o[1], socketBuffer)
		}
		if err != nil {
			return fmt.Errorf("set buffer size: %w", err)
		}
	}
	address := &unix.SockaddrLinklayer{Protocol: sniff.NetworkOrder(unix.ETH_P_ALL), Ifindex: device.Index}
	if err := unix.Bind(s.socket, address); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

func (s *packetSocket) fd() int { return s.socket }

func (s *packetSocket) receive(slots *slots) (int, error) {
	for i := range batch {
		s.rxVector[i].Base = &slots.frames[i].bytes[0]
		s.rxVector[i].SetLen(frameBytes)
		s.rx[i].header.SetControllen(len(s.control[i]))
		s.rx[i].header.Flags = 0
	}
	// The real length of frames that are cut off shows that an offload was
	// left on. The call never blocks, so the scheduler need not hear of it.
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.socket),
		uintptr(unsafe.Pointer(&s.rx[0])), batch, unix.MSG_TRUNC, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	for i := range int(n) {
		slots.size[i] = int(s.rx[i].length)
		slots.arrival[i] = s.timestamp(i)
	}
	return int(n), nil
}

// timestamp returns the kernel's receive time of the i-th message.
func (s *packetSocket) timestamp(i int) int64 {
	const need = unix.SizeofCmsghdr + unsafe.Sizeof(unix.Timespec{})
	if uint64(s.rx[i].header.Controllen) < uint64(need) {
		return 0
	}
	header := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[i][0]))
	if header.Level != unix.SOL_SOCKET || header.Type != unix.SCM_TIMESTAMPNS {
		return 0
	}
	return (*unix.Timespec)(unsafe.Pointer(&s.control[i][unix.SizeofCmsghdr])).Nano()
}

func (s *packetSocket) transmit(frames []*frame) (int, error) {
	for i, f := range frames {
		s.txVector[i].Base = &f.bytes[0]
		s.txVector[i].SetLen(f.size)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.socket),
		uintptr(unsafe.Pointer(&s.tx[0])), uintptr(len(frames)), 0, 0, 0)
	if errno == 0 {
		return int(n), nil
	}
	if errno == unix.ENOBUFS {
		s.refused.Add(1)
	}
	return 0, errno
}

func (s *packetSocket) drops() (portDrops, error) {
	counters, err := unix.GetsockoptTpacketStats(s.socket, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return portDrops{}, fmt.Errorf("port %s: PACKET_STATISTICS: %w", s.name, err)
	}
	s.lost += uint64(counters.Drops)
	d := portDrops{socket: s.lost}
	// An interface that is gone has nothing to say any more.
	expected := s.txBefore + s.refused.Load()
	if dropped, err := deviceDrops(s.ns, s.name); err == nil && dropped > expected {
		d.device = dropped - expected
	}
	return d, nil
}

func (s *packetSocket) close() error { return unix.Close(s.socket) }

// deviceDrops returns the tx_dropped counter of an interface: of a veth, what
// its peer did not take; of a TAP, what was not read in time.
func deviceDrops(ns netns.NsHandle, name string) (uint64, error) {
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, fmt.Errorf("netlink: %w", err)
	}
	defer handle.Close()
	device, err := handle.LinkByName(name)
	if err != nil {
		return 0, err
	}
	if device.Attrs().Statistics == nil {
		return 0, nil
	}
	return device.Attrs().Statistics.TxDropped, nil
}
