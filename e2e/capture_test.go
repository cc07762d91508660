package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// vnetHeader is the length of struct virtio_net_hdr, which PACKET_VNET_HDR
// (packet(7)) puts in front of a frame, ethernet that of the frame's own header.
const (
	vnetHeader = 10
	ethernet   = 14
	maxFrame   = vnetHeader + ethernet + 1<<16
)

// capture looks at the TCP and UDP packets to some hosts that come in on an
// interface, as its kernel gets them: with what that is told of checksums.
type capture struct {
	fd    int
	hosts []netip.Addr
	done  chan struct{}

	mu    sync.Mutex
	kinds map[string]int // how many came, by protocol and checksum
	wrong []string
}

// capture begins to capture. It ends with the spec.
func (m *machine) capture(device string, hosts ...string) *capture {
	GinkgoHelper()
	c := &capture{fd: -1, done: make(chan struct{}), kinds: map[string]int{}}
	for _, host := range hosts {
		c.hosts = append(c.hosts, netip.MustParseAddr(host))
	}
	index := m.link(device).Attrs().Index
	m.do(func() (err error) {
		if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("socket", err)
		}
		all := uint16(unix.ETH_P_ALL)
		return errors.Join(
			unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
			unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
			unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}),
			unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: index}))
	})
	ended := make(chan struct{})
	go c.run(ended)
	DeferCleanup(func() {
		close(ended)
		<-c.done
		Expect(unix.Close(c.fd)).To(Succeed())
	})
	return c
}

func (c *capture) run(ended <-chan struct{}) {
	defer close(c.done)
	frame := make([]byte, maxFrame)
	for {
		n, _, err := unix.Recvfrom(c.fd, frame, 0)
		if err == nil {
			c.look(frame[:n])
			continue
		}
		select {
		case <-ended:
			return
		default: // its time was up: again
		}
	}
}

// seen lists the kinds of packets so far.
func (c *capture) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.kinds))
}

// verdict returns what was wrong with packets, and how many the socket had no
// room for, which nobody looked at.
func (c *capture) verdict() (wrong []string, missed uint32) {
	GinkgoHelper()
	counters, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	Expect(err).NotTo(HaveOccurred())
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.wrong), counters.Drops
}

// look judges a packet by RFC 1071 as it is written.
func (c *capture) look(frame []byte) {
	packet := frame[vnetHeader+ethernet:]
	var header, version int
	var addresses []byte
	var destination netip.Addr
	var protocol byte
	switch binary.BigEndian.Uint16(frame[vnetHeader+12:]) {
	case unix.ETH_P_IP:
		header, version, addresses, protocol = int(packet[0]&15)*4, 4, packet[12:20], packet[9]
		destination = netip.AddrFrom4([4]byte(packet[16:20]))
	case unix.ETH_P_IPV6:
		header, version, addresses, protocol = 40, 6, packet[8:40], packet[6]
		destination = netip.AddrFrom16([16]byte(packet[24:40]))
	}
	field, name := map[byte]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6}[protocol], "tcp"
	if !slices.Contains(c.hosts, destination) || field == 0 {
		return
	}
	if protocol == unix.IPPROTO_UDP {
		name = "udp"
	}
	segment := packet[header:]
	pseudo := onesSum(addresses, []byte{0, protocol}, binary.BigEndian.AppendUint32(nil, uint32(len(segment))))
	check := binary.BigEndian.Uint16(segment[field:])
	kind, want, sum := "complete", uint16(0xffff), onesSum([]byte{byte(pseudo >> 8), byte(pseudo)}, segment)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case frame[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0: // the field has the sum of the pseudo-header
		kind, want, sum = "partial", pseudo, check
		start, offset := binary.NativeEndian.Uint16(frame[6:]), binary.NativeEndian.Uint16(frame[8:])
		if int(start) != ethernet+header || int(offset) != field {
			c.wrong = append(c.wrong, fmt.Sprintf("%s%d: checksum at %d+%d, want %d+%d", name, version, start, offset, ethernet+header, field))
		}
	case check == 0 && name == "udp":
		kind, sum = "zero", want
	}
	if frame[1] != unix.VIRTIO_NET_HDR_GSO_NONE {
		kind += " super"
	}
	kind = fmt.Sprintf("%s%d %s", name, version, kind)
	c.kinds[kind]++
	if sum != want {
		c.wrong = append(c.wrong, fmt.Sprintf("%s of %d bytes: %#x, want %#x", kind, len(packet), sum, want))
	}
	if version == 4 && onesSum(packet[:header]) != 0xffff {
		c.wrong = append(c.wrong, kind+": the IPv4 header's checksum")
	}
}

// onesSum is the one's complement sum of parts, all but the last of even length.
func onesSum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, part := range parts {
		for i, b := range part {
			sum += uint32(b) << (8 * (1 - i%2))
			sum = sum>>16 + sum&0xffff
		}
	}
	return uint16(sum)
}
