package tun

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

// capture looks at every packet that an interface hands to its kernel.
type capture struct {
	fd      int
	stop    atomic.Bool
	done    chan struct{}
	kinds   map[string]int // how many there were
	wrong   []string
	failure error
}

// captureOn begins to capture what comes in on an interface, with what the
// kernel is told of its checksums (PACKET_VNET_HDR of packet(7)).
func captureOn(t *testing.T, ns *nstest.Namespace, device string) *capture {
	t.Helper()
	c := &capture{done: make(chan struct{}), kinds: map[string]int{}}
	all := int(binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})) // in network order
	ns.Do(t, func() (err error) {
		if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20); err != nil {
			return err
		}
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
			return err
		}
		return unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: ns.Link(t, device).Index})
	})
	go c.run()
	return c
}

func (c *capture) run() {
	defer close(c.done)
	frame := make([]byte, slot)
	for {
		stop := c.stop.Load() // before it looks: what came until then is looked at
		n, from, err := unix.Recvfrom(c.fd, frame, 0)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			if stop {
				return
			}
		case err != nil:
			c.failure = err
			return
		default:
			if from.(*unix.SockaddrLinklayer).Pkttype != unix.PACKET_OUTGOING {
				c.look(frame[:n])
			}
		}
	}
}

// end ends the capture and reports packets whose checksums are wrong.
func (c *capture) end(t *testing.T) {
	t.Helper()
	c.stop.Store(true)
	<-c.done
	_ = unix.Close(c.fd)
	if c.failure != nil {
		t.Fatal(c.failure)
	}
	for _, w := range c.wrong[:min(len(c.wrong), 10)] {
		t.Error(w)
	}
	t.Logf("captured %v", c.kinds)
}

// look checks a packet by RFC 1071 as it is written.
func (c *capture) look(frame []byte) {
	p := frame[vnetLen:]
	partial := frame[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0
	header, version := 20, "4"
	var addresses []byte
	var protocol byte
	switch p[0] >> 4 {
	case 4:
		addresses, protocol = p[12:20], p[9]
		if sum := onesSum(p[:20]); sum != 0xffff {
			c.wrong = append(c.wrong, fmt.Sprintf("IPv4 header checksum: sum %#x", sum))
		}
	default:
		header, version, addresses, protocol = 40, "6", p[8:40], p[6]
	}
	segment, field, name := p[header:], 6, "udp"
	switch protocol {
	case unix.IPPROTO_TCP:
		field, name = 16, "tcp"
	case unix.IPPROTO_UDP:
	default:
		return // ICMPv6 of the interface coming up
	}
	pseudo := onesSum(addresses, []byte{0, protocol}, binary.BigEndian.AppendUint32(nil, uint32(len(segment))))
	kind, want, sum := "complete", uint16(0xffff), onesSum([]byte{byte(pseudo >> 8), byte(pseudo)}, segment)
	check := binary.BigEndian.Uint16(segment[field:])
	switch {
	case partial: // the field has the sum of the pseudo-header
		kind, want, sum = "partial", pseudo, check
		start, offset := binary.NativeEndian.Uint16(frame[6:]), binary.NativeEndian.Uint16(frame[8:])
		if int(start) != header || int(offset) != field {
			c.wrong = append(c.wrong, fmt.Sprintf("%s%s: checksum at %d+%d, want %d+%d", name, version, start, offset, header, field))
		}
	case check == 0 && name == "udp":
		kind, sum = "zero", want
	}
	if frame[1] != unix.VIRTIO_NET_HDR_GSO_NONE {
		kind += " super"
	}
	kind = name + version + " " + kind
	c.kinds[kind]++
	if sum != want {
		c.wrong = append(c.wrong, fmt.Sprintf("%s of %d bytes: %#x, want %#x", kind, len(p), sum, want))
	}
}

func onesSum(parts ...[]byte) uint16 {
	sum := uint32(0)
	for _, part := range parts { // all but the last of even length
		for i, b := range part {
			sum += uint32(b) << (8 * (1 - i%2))
		}
		sum = sum>>16 + sum&0xffff
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// TestChecksumsCaptured captures at the far device what a tunnel delivers, for
// TCP and UDP over IPv4 and IPv6, in single packets and super-packets, with a
// checksum and without, for every version of the device.
func TestChecksumsCaptured(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			br := newBridge(t, v.mode, v.kernel)
			c := captureOn(t, br.b, "ml-test")
			for _, addr := range []string{addrB4, addrB6} {
				to := netip.MustParseAddr(addr)
				transfer(t, br, to, make([]byte, 1<<20))
				sendUDP(t, br, to, 0, false)
				sendUDP(t, br, to, 500, false)
				sendUDP(t, br, to, 0, true)
			}
			c.end(t)
			// What leaves a device that leaves checksums to the kernel is still
			// without them.
			offloads := br.db.Info().Offloads
			transport := "complete"
			if slices.Contains(offloads, "csum") {
				transport = "partial"
			}
			want := []string{"tcp4 " + transport, "tcp6 " + transport, "udp4 " + transport, "udp6 " + transport, "udp4 zero", "udp6 zero"}
			if slices.Contains(offloads, "tso4") {
				want = append(want, "tcp4 partial super", "tcp6 partial super")
			}
			if slices.Contains(offloads, "uso4") {
				want = append(want, "udp4 partial super", "udp6 partial super")
			}
			for _, kind := range want {
				if c.kinds[kind] == 0 {
					t.Errorf("no packet is %s: %v", kind, slices.Sorted(maps.Keys(c.kinds)))
				}
			}
		})
	}
}

// sendUDP sends datagrams one at a time, or a run of that segment size, with or
// without a checksum, and waits until all have come.
func sendUDP(t *testing.T, br *bridge, to netip.Addr, segment int, zero bool) {
	t.Helper()
	const count = 8
	var receiver *net.UDPConn
	var sender net.Conn
	br.b.Do(t, func() (err error) {
		receiver, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 0)))
		return err
	})
	defer receiver.Close()
	br.a.Do(t, func() (err error) {
		sender, err = net.Dial("udp", receiver.LocalAddr().String())
		return err
	})
	defer sender.Close()
	if zero {
		setOption(t, sender.(*net.UDPConn), unix.SOL_SOCKET, unix.SO_NO_CHECK)
		if to.Is6() { // RFC 6935: both ends must want it
			setOption(t, sender.(*net.UDPConn), unix.IPPROTO_UDP, udpNoCheck6TX)
			setOption(t, receiver, unix.IPPROTO_UDP, udpNoCheck6RX)
		}
	}
	writes, datagrams, size := count, 1, 333 // the next when the one before has come: none are joined
	if segment > 0 {
		setSegment(t, sender.(*net.UDPConn), segment)
		writes, datagrams, size = 1, count, count*segment
	}
	if err := receiver.SetReadDeadline(time.Now().Add(nstest.Patience)); err != nil {
		t.Fatal(err)
	}
	for range writes {
		if _, err := sender.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		for range datagrams {
			if _, err := receiver.Read(make([]byte, 2048)); err != nil {
				t.Fatalf("to %s, segment %d, zero %v: %v", to, segment, zero, err)
			}
		}
	}
}

// Of linux/udp.h.
const (
	udpNoCheck6TX = 101
	udpNoCheck6RX = 102
)

// setOption sets an option of a socket to 1.
func setOption(t *testing.T, c *net.UDPConn, level, option int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), level, option, 1) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
}
