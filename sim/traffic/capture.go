package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"unsafe"

	"github.com/vishvananda/netns"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// capture counts the reordered packets of a traffic's TCP connections where
// they arrive: on any interface of the receiving machine, so that it needs no
// name and outlives an interface that comes and goes. Packets that leave the
// machine are not looked at.
type capture struct {
	socket *os.File
	// fromPort says that the traffic's packets come from the host's port,
	// else that they go to it.
	fromPort bool
	host     netip.AddrPort
	done     chan struct{}

	mu    sync.Mutex
	flows meter.Flows
}

// headerSpace is what a capture reads of a packet: the vnet header, and the
// Ethernet, IPv6 and TCP headers with all options.
const headerSpace = vnetHeader + 14 + 40 + 60

// vnetHeader is the size of struct virtio_net_hdr, which tells the segment
// size of a super-packet.
const vnetHeader = 10

// startCapture begins to capture in a namespace the packets from (or to) a
// host's address and port.
func startCapture(ns netns.NsHandle, host netip.AddrPort, fromPort bool) (*capture, error) {
	c := &capture{fromPort: fromPort, host: host, done: make(chan struct{})}
	err := nsdo.In(ns, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		if err := prepareCapture(fd, host.Port(), fromPort); err != nil {
			unix.Close(fd)
			return err
		}
		c.socket = os.NewFile(uintptr(fd), "capture")
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("capturing the packets of port %d: %w", host.Port(), err)
	}
	go c.run()
	return c, nil
}

func prepareCapture(fd int, port uint16, fromPort bool) error {
	filter, err := tcpPortFilter(port, fromPort)
	if err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
	return errors.Join(
		unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		// Bound last: a socket that is bound first catches packets before
		// its filter is there.
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL)}),
	)
}

func htons(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// tcpPortFilter is the socket filter for TCP from (or to) a port over IPv4 or
// IPv6. Its offsets count from the IP header whatever the link layer is.
func tcpPortFilter(port uint16, fromPort bool) ([]unix.SockFilter, error) {
	const network = ^uint32(0x100000) + 1 // SKF_NET_OFF
	at := network
	if !fromPort {
		at += 2
	}
	raw, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: network, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 6},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 4, SkipTrue: 10},
		bpf.LoadAbsolute{Off: network + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 8},
		bpf.LoadMemShift{Off: network},
		bpf.LoadIndirect{Off: at, Size: 2},
		bpf.Jump{Skip: 3},
		bpf.LoadAbsolute{Off: network + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 3},
		bpf.LoadAbsolute{Off: at + 40, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: headerSpace},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return nil, fmt.Errorf("assembling the filter: %w", err)
	}
	return unsafe.Slice((*unix.SockFilter)(unsafe.Pointer(&raw[0])), len(raw)), nil
}

func (c *capture) run() {
	defer close(c.done)
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, headerSpace)
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err != nil { // closed
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if failed != nil || !ok || n < vnetHeader {
			continue // an interface that went down reports itself here
		}
		c.see(buf[:n], link.Hatype)
	}
}

// see takes one packet: the vnet header, then the link's header, then IP.
func (c *capture) see(packet []byte, hardware uint16) {
	segmentSize := int(binary.NativeEndian.Uint16(packet[4:]))
	ip := packet[vnetHeader:]
	if hardware == unix.ARPHRD_ETHER || hardware == unix.ARPHRD_LOOPBACK {
		if len(ip) < 14 {
			return
		}
		ip = ip[14:]
	}
	f, s, ok := meter.ParseTCP(ip)
	if !ok || (c.fromPort && f.Source != c.host) || (!c.fromPort && f.Destination != c.host) {
		return
	}
	if segmentSize > 0 {
		s.Packets = (s.Payload + segmentSize - 1) / segmentSize
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flows.Arrive(f, s)
}

// stop ends the capture and returns what it saw.
func (c *capture) stop() *meter.Flows {
	c.socket.Close()
	<-c.done
	return &c.flows
}
