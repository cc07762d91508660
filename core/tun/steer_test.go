package tun

import (
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/gso"
)

// steeringWays are the queues of each kind in the tests.
const steeringWays = 3

// steering is the program that chooses queues, which the tests have the kernel run.
func steering(t *testing.T) *ebpf.Program {
	t.Helper()
	program, err := loadSteering(steeringWays)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program
}

// TestSteer: the kind of a packet and its destination choose the queue.
func TestSteer(t *testing.T) {
	program := steering(t)
	of := func(v6 bool, protocol byte, payload int, edit func(p []byte, transport int)) []byte {
		p, transport := packet(v6, protocol, payload), 20
		if v6 {
			transport = 40
		}
		if edit != nil {
			edit(p, transport)
		}
		return p
	}
	flags := func(f byte) func([]byte, int) {
		return func(p []byte, transport int) { p[transport+13] = f }
	}
	icmp := func(v6 bool) []byte {
		return of(v6, gso.ProtocolUDP, 56, func(p []byte, _ int) {
			if p[9] = unix.IPPROTO_ICMP; v6 {
				p[6] = unix.IPPROTO_ICMPV6
			}
		})
	}
	for _, v6 := range []bool{false, true} {
		for _, c := range []struct {
			name string
			p    []byte
			kind int
		}{
			{"segment", of(v6, gso.ProtocolTCP, 1000, nil), kindData},
			{"segment of one byte", of(v6, gso.ProtocolTCP, 1, nil), kindData},
			{"super-packet", of(v6, gso.ProtocolTCP, 3000, nil), kindData}, // the kernel tests no more than a page
			{"acknowledgement", of(v6, gso.ProtocolTCP, 0, nil), kindSparse},
			{"acknowledgement with options", of(v6, gso.ProtocolTCP, 12, func(p []byte, at int) { p[at+12] = 0x80 }), kindSparse},
			{"segment with options", of(v6, gso.ProtocolTCP, 13, func(p []byte, at int) { p[at+12] = 0x80 }), kindData},
			{"SYN", of(v6, gso.ProtocolTCP, 0, flags(0x02)), kindSparse},
			{"SYN with payload", of(v6, gso.ProtocolTCP, 5, flags(0x02)), kindData},
			{"FIN", of(v6, gso.ProtocolTCP, 0, flags(0x11)), kindData},
			{"RST", of(v6, gso.ProtocolTCP, 0, flags(0x14)), kindData},
			{"UDP", of(v6, gso.ProtocolUDP, 100, nil), kindRest},
			{"empty UDP", of(v6, gso.ProtocolUDP, 0, nil), kindRest},
			{"ICMP", icmp(v6), kindSparse},
		} {
			for destination := range byte(2 * steeringWays) {
				p := c.p
				if v6 {
					p[39] = destination
				} else {
					p[19] = destination
				}
				if got, want := steered(t, program, p), c.kind*steeringWays+int(destination)%steeringWays; got != want {
					t.Errorf("v6 %v, %s to %d: queue %d, want %d", v6, c.name, destination, got, want)
				}
			}
		}
	}
}

// TestSteerOddPackets: what is not plain TCP or UDP.
func TestSteerOddPackets(t *testing.T) {
	program := steering(t)
	options := packet(false, gso.ProtocolTCP, 4) // 24 bytes of IPv4 header, then TCP
	copy(options[24:], options[20:40])
	options[0] = 0x46
	fragment := func(protocol byte, at int, value byte) []byte {
		p := packet(false, protocol, 0)
		p[at] = value
		return p
	}
	for name, c := range map[string]struct {
		p    []byte
		kind int
	}{
		"IPv4 options":             {options, kindSparse},
		"first fragment of TCP":    {fragment(gso.ProtocolTCP, 6, 0x20), kindData},
		"last fragment of TCP":     {fragment(gso.ProtocolTCP, 7, 10), kindData},
		"don't fragment":           {fragment(gso.ProtocolTCP, 6, 0x40), kindSparse},
		"fragment of UDP":          {fragment(gso.ProtocolUDP, 7, 10), kindRest},
		"neither version":          {append([]byte{0x50}, make([]byte, 50)...), kindRest},
		"cut TCP header":           {packet(false, gso.ProtocolTCP, 0)[:30], kindData},
		"IPv6 extension, then TCP": {append(append([]byte{0x60, 5: 24, 39: 0}, gso.ProtocolTCP), make([]byte, 30)...), kindRest},
	} {
		if got := steered(t, program, c.p); got != c.kind*steeringWays {
			t.Errorf("%s: queue %d, want %d", name, got, c.kind*steeringWays)
		}
	}
}

// steered returns the queue that the program chooses for an IP packet.
func steered(t *testing.T, program *ebpf.Program, p []byte) int {
	t.Helper()
	ethernet := make([]byte, 14) // left out before the program runs
	queue, _, err := program.Test(append(ethernet, p...))
	if err != nil {
		t.Fatal(err)
	}
	return int(queue)
}
