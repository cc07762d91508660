package tun

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// packet builds a TCP or UDP packet of zeros with right lengths; its
// checksums are not right.
func packet(v6 bool, protocol byte, payload int) []byte {
	at, transport := 20, 20
	if v6 {
		at = 40
	}
	if protocol == gso.ProtocolUDP {
		transport = 8
	}
	p := make([]byte, at+transport+payload)
	if v6 {
		p[0], p[6], p[7] = 0x60, protocol, 64
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-at))
	} else {
		p[0], p[8], p[9] = 0x45, 64, protocol
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	}
	if protocol == gso.ProtocolUDP {
		binary.BigEndian.PutUint16(p[at+4:], uint16(len(p)-at))
	} else {
		p[at+12], p[at+13] = 0x50, 0x10
	}
	return p
}

// frame puts a vnet header before a packet.
func frame(flags, gsoType byte, size, start, offset uint16, p []byte) []byte {
	f := make([]byte, vnetLen, vnetLen+len(p))
	f[0], f[1] = flags, gsoType
	binary.NativeEndian.PutUint16(f[2:], 0xffff) // hdr_len: to be ignored
	binary.NativeEndian.PutUint16(f[4:], size)
	binary.NativeEndian.PutUint16(f[6:], start)
	binary.NativeEndian.PutUint16(f[8:], offset)
	return append(f, p...)
}

// decoding is a frame, and what is to be made of it.
type decoding struct {
	name    string
	frame   []byte
	ok      bool
	segment int
	partial bool
}

func (d *decoding) check(t *testing.T) {
	t.Helper()
	p, err := decodeVnet(d.frame)
	if (err == nil) != d.ok {
		t.Errorf("%s: %v", d.name, err)
	}
	if err == nil && (p.Segment != d.segment || p.Partial != d.partial || len(p.Data) != len(d.frame)-vnetLen) {
		t.Errorf("%s: segment %d, partial %v, %d bytes", d.name, p.Segment, p.Partial, len(p.Data))
	}
}

func TestDecodeVnet(t *testing.T) {
	const (
		needs = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
		valid = unix.VIRTIO_NET_HDR_F_DATA_VALID
		none  = unix.VIRTIO_NET_HDR_GSO_NONE
		tcp4  = unix.VIRTIO_NET_HDR_GSO_TCPV4
		tcp6  = unix.VIRTIO_NET_HDR_GSO_TCPV6
		udp   = unix.VIRTIO_NET_HDR_GSO_UDP_L4
		ecn   = unix.VIRTIO_NET_HDR_GSO_ECN
		ufo   = unix.VIRTIO_NET_HDR_GSO_UDP
	)
	t4, t6 := packet(false, gso.ProtocolTCP, 3000), packet(true, gso.ProtocolTCP, 3000)
	u4, u6 := packet(false, gso.ProtocolUDP, 3000), packet(true, gso.ProtocolUDP, 3000)
	empty := packet(false, gso.ProtocolTCP, 0)
	fragment := packet(false, gso.ProtocolTCP, 100)
	fragment[6] = 0x20
	for _, test := range []decoding{
		{"ordinary", frame(0, none, 0, 0, 0, t4), true, 0, false},
		{"checked by the kernel", frame(valid, none, 0, 0, 0, t4), true, 0, false},
		{"partial tcp4", frame(needs, none, 0, 20, 16, t4), true, 0, true},
		{"partial udp6", frame(needs, none, 0, 40, 6, u6), true, 0, true},
		{"super tcp4", frame(needs, tcp4, 1400, 20, 16, t4), true, 1400, true},
		{"super tcp4 with ECN", frame(needs, tcp4|ecn, 1400, 20, 16, t4), true, 1400, true},
		{"super tcp6", frame(needs, tcp6, 1400, 40, 16, t6), true, 1400, true},
		{"super udp4", frame(needs, udp, 1200, 20, 6, u4), true, 1200, true},
		{"super udp6", frame(needs, udp, 1200, 40, 6, u6), true, 1200, true},
		{"checksum that is not the transport's", frame(needs, none, 0, 30, 5, t4), true, 0, false},
		{"checksum of a fragment", frame(needs, none, 0, 20, 16, fragment), true, 0, false},

		{"nothing", nil, false, 0, false},
		{"header cut", make([]byte, vnetLen-1), false, 0, false},
		{"no packet", make([]byte, vnetLen), false, 0, false},
		{"not IP", frame(0, none, 0, 0, 0, []byte{0x12, 0x34}), false, 0, false},
		{"checksum outside", frame(needs, none, 0, 20, 3100, t4), false, 0, false},
		{"start outside", frame(needs, none, 0, 65535, 65535, t4), false, 0, false},
		{"segments of 0 bytes", frame(needs, tcp4, 0, 20, 16, t4), false, 0, false},
		{"segmentation without checksum", frame(0, tcp4, 1400, 20, 16, t4), false, 0, false},
		{"wrong start", frame(needs, tcp4, 1400, 24, 16, t4), false, 0, false},
		{"wrong offset", frame(needs, tcp4, 1400, 20, 6, t4), false, 0, false},
		{"tcp6 said to be tcp4", frame(needs, tcp4, 1400, 40, 16, t6), false, 0, false},
		{"udp said to be tcp", frame(needs, tcp4, 1400, 20, 6, u4), false, 0, false},
		{"UFO", frame(needs, ufo, 1400, 20, 6, u4), false, 0, false},
		{"unknown type", frame(needs, 77, 1400, 20, 16, t4), false, 0, false},
		{"no payload", frame(needs, tcp4, 1400, 20, 16, empty), false, 0, false},
		{"shorter than its IP length", frame(needs, tcp4, 1400, 20, 16, t4[:2000]), false, 0, false},
		{"super fragment", frame(needs, tcp4, 1400, 20, 16, fragment), false, 0, false},
	} {
		test.check(t)
	}
}

// TestDecodeVnetCompletes compares a checksum that is completed on reading
// with the one of a plain Partial packet.
func TestDecodeVnetCompletes(t *testing.T) {
	p := packet(false, gso.ProtocolTCP, 100)
	want := bytes.Clone(p)
	if err := gso.Complete(want); err != nil {
		t.Fatal(err)
	}
	// A length beyond the IP length makes it a packet that cannot be Partial.
	got, err := decodeVnet(frame(1, 0, 0, 20, 16, append(p, 0, 0)))
	if err != nil || got.Partial || !bytes.Equal(got.Data[:len(want)], want) {
		t.Errorf("%v, partial %v\n got %x\nwant %x", err, got.Partial, got.Data, want)
	}
}

func TestVnetRoundTrip(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, protocol := range []byte{gso.ProtocolTCP, gso.ProtocolUDP} {
			for _, segment := range []int{0, 500} {
				p := packet(v6, protocol, 1500)
				h, err := gso.ParseHeaders(p)
				if err != nil {
					t.Fatal(err)
				}
				var header [vnetLen]byte
				encodeVnet(&header, &gso.Group{Headers: h, Segment: segment, Partial: true})
				got, err := decodeVnet(append(header[:], p...))
				if err != nil || got.Segment != segment || !got.Partial {
					t.Errorf("v6 %v, protocol %d, segment %d: %v, %d", v6, protocol, segment, err, got.Segment)
				}
			}
		}
	}
	var header [vnetLen]byte
	header[0] = 1
	if encodeVnet(&header, &gso.Group{}); header != [vnetLen]byte{} {
		t.Errorf("header of a complete packet: %x", header)
	}
}

func FuzzDecodeVnet(f *testing.F) {
	f.Add(frame(1, 1, 100, 20, 16, packet(false, gso.ProtocolTCP, 300)))
	f.Add(frame(1, 5, 100, 40, 6, packet(true, gso.ProtocolUDP, 300)))
	f.Add(frame(1, 0, 0, 30, 5, packet(true, 50, 30)))
	f.Fuzz(func(t *testing.T, frame []byte) {
		p, err := decodeVnet(frame)
		if err != nil {
			return
		}
		var cursor gso.Cursor
		if err := cursor.Init(p); err != nil || cursor.Left() == 0 {
			t.Fatalf("accepted, but cannot be cut: %v", err)
		}
		if p.Partial && p.Segment == 0 {
			if err := gso.Complete(p.Data); err != nil {
				t.Fatalf("accepted as partial, but cannot be completed: %v", err)
			}
		}
	})
}

func TestExpander(t *testing.T) {
	var (
		c counters
		e expander
	)
	super := packet(false, gso.ProtocolTCP, 2500)
	small := packet(true, gso.ProtocolUDP, 10)
	out := e.expand([]core.Packet{
		{Data: small},
		{Data: super, Segment: 1000, Partial: true},
		{Data: nil},
		{Data: make([]byte, gso.MaxPacket+1)},
		{Data: small, Segment: -1},
		{Data: small, Partial: true},
	}, &c)
	var lens []int
	for _, p := range out {
		lens = append(lens, len(p.Data))
	}
	if want := []int{58, 1040, 1040, 540, 58}; !slices.Equal(lens, want) {
		t.Errorf("lengths %v, want %v", lens, want)
	}
	if got := c.Counters(); got.WriteMalformed != 2 || got.WriteOversize != 1 {
		t.Errorf("counters %+v", got)
	}
}
