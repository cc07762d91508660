package meter

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// build makes a TCP segment with a timestamps option.
func build(t testing.TB, source, destination netip.AddrPort, payload int) []byte {
	t.Helper()
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(source.Port()), DstPort: layers.TCPPort(destination.Port()),
		Seq: 0x01020304, ACK: true, Window: 1000,
		Options: []layers.TCPOption{
			{OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: []byte{0, 0, 1, 0, 0, 0, 0, 2}},
		},
	}
	var ip gopacket.SerializableLayer
	if source.Addr().Is4() {
		v4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
			SrcIP: source.Addr().AsSlice(), DstIP: destination.Addr().AsSlice()}
		_ = tcp.SetNetworkLayerForChecksum(v4)
		ip = v4
	} else {
		v6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP,
			SrcIP: source.Addr().AsSlice(), DstIP: destination.Addr().AsSlice()}
		_ = tcp.SetNetworkLayerForChecksum(v6)
		ip = v6
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ip, tcp, gopacket.Payload(make([]byte, payload)))
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var ends = []struct{ source, destination netip.AddrPort }{
	{netip.MustParseAddrPort("198.18.0.1:5201"), netip.MustParseAddrPort("10.8.0.2:40000")},
	{netip.MustParseAddrPort("[fd00:198:18::1]:5201"), netip.MustParseAddrPort("[fd4d:4c::2]:40000")},
}

func TestParseTCP(t *testing.T) {
	for _, e := range ends {
		packet := build(t, e.source, e.destination, 777)
		f, s, ok := ParseTCP(packet[:len(packet)-777]) // as a capture cuts it off
		want := Segment{Sequence: 0x01020304, Payload: 777, Packets: 1, Stamped: true, Stamp: 256}
		if !ok || f != (Flow{e.source, e.destination}) || s != want {
			t.Errorf("%v -> %v: %v %+v %v", e.source, e.destination, f, s, ok)
		}
		for n := range len(packet) - 777 {
			if _, _, ok := ParseTCP(packet[:n]); ok {
				t.Errorf("%d of %d header bytes passed for a segment", n, len(packet)-777)
			}
		}
	}
}

func FuzzParseTCP(f *testing.F) {
	for _, e := range ends {
		f.Add(build(f, e.source, e.destination, 10))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		_, s, ok := ParseTCP(packet)
		if ok && (s.Payload < 0 || s.Payload > 65575) {
			t.Errorf("payload of %d bytes", s.Payload)
		}
	})
}
