package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"github.com/vishvananda/netns"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/sniff"
)

// capture counts the reordered packets of a traffic's TCP connections where
// they arrive: on any interface of the receiving machine, so that it needs no
// name and outlives an interface that comes and goes. Packets that leave the
// machine are not looked at.
type capture struct {
	socket *sniff.Socket
	// fromPort says that the traffic's packets come from the host's port,
	// else that they go to it.
	fromPort bool
	host     netip.AddrPort
	flows    meter.Flows
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
	c := &capture{fromPort: fromPort, host: host}
	prepare := func(fd int) error { return prepareCapture(fd, host.Port(), fromPort) }
	var err error
	if c.socket, err = sniff.Open(ns, headerSpace, prepare, c.see); err != nil {
		return nil, fmt.Errorf("capturing the packets of port %d: %w", host.Port(), err)
	}
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
	)
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

// see takes one packet: the vnet header, then the link's header, then IP.
func (c *capture) see(p sniff.Packet) {
	if len(p.Data) < vnetHeader {
		return
	}
	segmentSize := int(binary.NativeEndian.Uint16(p.Data[4:]))
	ip := p.Data[vnetHeader:]
	if p.Hardware == unix.ARPHRD_ETHER || p.Hardware == unix.ARPHRD_LOOPBACK {
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
	c.flows.Arrive(f, s)
}

// stop ends the capture and returns what it saw.
func (c *capture) stop() *meter.Flows {
	_ = c.socket.Close()
	return &c.flows
}
