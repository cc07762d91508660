package classify

import (
	"testing"

	"github.com/multilink-vpn/multilink/core/gso"
)

// udp4 is an IPv4 UDP packet without payload.
func udp4(change func(p []byte)) []byte {
	p := make([]byte, 28)
	p[0], p[3], p[9] = 0x45, 28, gso.ProtocolUDP
	copy(p[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88, 0x17, 0x70})
	change(p)
	return p
}

func TestFlow(t *testing.T) {
	base := Flow(udp4(func([]byte) {}))
	for _, c := range []struct {
		name   string
		change func(p []byte)
		same   bool
	}{
		{"identification", func(p []byte) { p[4] = 9 }, true},
		{"payload length", func(p []byte) { p[25] = 9 }, true},
		{"source address", func(p []byte) { p[15] = 9 }, false},
		{"destination address", func(p []byte) { p[19] = 9 }, false},
		{"source port", func(p []byte) { p[21] = 9 }, false},
		{"destination port", func(p []byte) { p[23] = 9 }, false},
		{"protocol", func(p []byte) { p[9] = gso.ProtocolTCP }, false},
	} {
		if same := Flow(udp4(c.change)) == base; same != c.same {
			t.Errorf("%s: same flow %v, want %v", c.name, same, c.same)
		}
	}
	first := udp4(func(p []byte) { p[6] = 0x20 })
	later := udp4(func(p []byte) { p[7] = 1; p[21] = 0x77 })
	if Flow(first) != Flow(later) {
		t.Error("fragments of a packet are of different flows")
	}
}

func TestValid(t *testing.T) {
	v6 := make([]byte, 44)
	v6[0], v6[5], v6[6] = 0x60, 4, gso.ProtocolUDP
	for _, c := range []struct {
		name string
		p    []byte
		want bool
	}{
		{"IPv4", udp4(func([]byte) {}), true},
		{"IPv6", v6, true},
		{"empty", nil, false},
		{"IPv4 total length", udp4(func(p []byte) { p[3]++ }), false},
		{"IPv4 header length under 20", udp4(func(p []byte) { p[0] = 0x44 }), false},
		{"IPv4 header length past the end", udp4(func(p []byte) { p[0] = 0x4f }), false},
		{"IPv6 cut", v6[:43], false},
		{"IPv6 header cut", v6[:39], false},
		{"version 5", udp4(func(p []byte) { p[0] = 0x55 }), false},
	} {
		if got := Valid(c.p); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzFlow(f *testing.F) {
	f.Add(udp4(func([]byte) {}))
	f.Fuzz(func(t *testing.T, p []byte) {
		if Valid(p) {
			Flow(p)
		}
	})
}

func TestAnswer(t *testing.T) {
	there := udp4(func([]byte) {})
	back := udp4(func(p []byte) {
		copy(p[12:], []byte{10, 0, 0, 2, 10, 0, 0, 1, 0x17, 0x70, 0x13, 0x88})
	})
	if Answer(there) != Flow(back) || Answer(back) != Flow(there) || Flow(there) == Flow(back) {
		t.Error("the two directions of an IPv4 flow do not fit")
	}
	v6 := func(from, to byte, ports ...byte) []byte {
		p := make([]byte, 44)
		p[0], p[5], p[6], p[23], p[39] = 0x60, 4, gso.ProtocolUDP, from, to
		copy(p[40:], ports)
		return p
	}
	if Answer(v6(1, 2, 0, 5, 0, 6)) != Flow(v6(2, 1, 0, 6, 0, 5)) {
		t.Error("the two directions of an IPv6 flow do not fit")
	}
}
