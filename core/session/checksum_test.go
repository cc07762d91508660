package session

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// inner describes a packet for the tests of checksums.
type inner struct {
	v6, udp    bool
	extensions int // IPv6 extension headers before the transport's
}

// build makes the packet with its checksum right, by RFC 1071 as it is written,
// and tells where its transport header and its checksum are.
func (k inner) build(payload []byte) (p []byte, transport, check int) {
	t := make([]byte, 20, 20+len(payload))
	protocol, check := byte(gso.ProtocolTCP), 16
	t[12], t[13] = 5<<4, 0x10
	if k.udp {
		t = make([]byte, 8, 8+len(payload))
		protocol, check = gso.ProtocolUDP, 6
		binary.BigEndian.PutUint16(t[4:], uint16(8+len(payload)))
	}
	binary.BigEndian.PutUint16(t, 40000)
	binary.BigEndian.PutUint16(t[2:], 443)
	t = append(t, payload...)
	addresses := []byte{10, 8, 0, 2, 198, 51, 100, 255}
	if k.v6 {
		addresses = append(bytes.Repeat([]byte{0xfd, 0x4d}, 8), bytes.Repeat([]byte{0x20, 0x01}, 8)...)
	}
	binary.BigEndian.PutUint16(t[check:], ^sum1071(addresses, []byte{0, protocol}, be16(len(t)), t))
	if !k.v6 {
		p = append([]byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}, addresses...)
		binary.BigEndian.PutUint16(p[2:], uint16(20+len(t)))
		binary.BigEndian.PutUint16(p[10:], ^sum1071(p))
		return append(p, t...), 20, check
	}
	next := protocol
	var extensions []byte
	for range k.extensions { // destination options: six bytes of padding
		extensions = append([]byte{next, 0, 1, 4, 0, 0, 0, 0}, extensions...)
		next = 60
	}
	p = append([]byte{0x60, 0, 0, 0, 0, 0, next, 64}, addresses...)
	binary.BigEndian.PutUint16(p[4:], uint16(len(extensions)+len(t)))
	return append(append(p, extensions...), t...), 40 + len(extensions), check
}

func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }

func sum1071(parts ...[]byte) uint16 {
	sum := uint32(0)
	for i, b := range bytes.Join(parts, nil) {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// through sends a packet from an end to the other and returns what comes out.
func (x *exchange) through(from int, p core.Packet) (got []core.Packet) {
	a, b := x.w.ends[from], x.w.ends[1-from]
	a.s.HandlePackets(x.w.now, []core.Packet{p}, &a.out)
	for _, r := range a.out.Runs {
		x.batch = x.batch[:0]
		for d := r.Data; len(d) > 0; {
			n := min(r.Segment, len(d))
			x.batch = append(x.batch, core.Datagram{Data: d[:n:n], Path: a.pipes[r.Link].path})
			d = d[n:]
		}
		b.s.HandleDatagrams(x.w.now, r.Link, x.batch, &b.out)
		for _, p := range b.out.Packets {
			p.Data = bytes.Clone(p.Data)
			got = append(got, p)
		}
	}
	return got
}

// TestChecksums compares the packets that come out, as the host gets them, with
// those that went in, for every kind and both states of their checksum: left
// to the device, or complete. One that is complete is never changed, also where
// it is zero or wrong.
func TestChecksums(t *testing.T) {
	x := newExchange(t, 1, "flow")
	payload := bytes.Repeat([]byte{1, 2, 3, 0xfe, 0xff}, 41) // an odd number of bytes
	for _, k := range []inner{{}, {udp: true}, {v6: true}, {v6: true, udp: true}, {v6: true, extensions: 2}, {v6: true, udp: true, extensions: 1}} {
		for _, state := range []string{"complete", "partial", "zero", "wrong"} {
			for _, from := range []int{client, server} {
				name := fmt.Sprintf("%+v, %s, from %d", k, state, from)
				want, transport, check := k.build(payload)
				in := core.Packet{Data: bytes.Clone(want)}
				field := in.Data[transport+check:]
				switch state {
				case "partial":
					if k.extensions > 0 {
						continue // package tun completes those: Partial cannot express them
					}
					pseudo := sum1071(in.Data[transport-addressBytes(k):transport], []byte{0, protocolOf(k)}, be16(len(want)-transport))
					binary.BigEndian.PutUint16(field, pseudo)
					in.Partial = true
				case "zero":
					field[0], field[1] = 0, 0
					want = bytes.Clone(in.Data)
				case "wrong":
					field[0] ^= 0x55
					want = bytes.Clone(in.Data)
				}
				got := x.through(from, in)
				if len(got) != 1 {
					t.Errorf("%s: %d packets came out", name, len(got))
					continue
				}
				if got[0].Partial != in.Partial {
					t.Errorf("%s: partial is %v", name, got[0].Partial)
				}
				complete(t, name, got[0])
				if !bytes.Equal(got[0].Data, want) {
					t.Errorf("%s:\n got %x\nwant %x", name, got[0].Data, want)
				}
			}
		}
	}
}

// TestChecksumsOfSegments checks each segment of super-packets in the same way,
// the last of them short.
func TestChecksumsOfSegments(t *testing.T) {
	const size, segments = 501, 4
	x := newExchange(t, 1, "flow")
	for _, k := range []inner{{}, {udp: true}, {v6: true}, {v6: true, udp: true}} {
		name := fmt.Sprintf("%+v", k)
		payload := bytes.Repeat([]byte{0xfe, 9, 1}, (size*(segments-1)+33)/3)
		super, transport, check := k.build(payload)
		pseudo := sum1071(super[transport-addressBytes(k):transport], []byte{0, protocolOf(k)}, be16(len(super)-transport))
		binary.BigEndian.PutUint16(super[transport+check:], pseudo)
		got := x.through(client, core.Packet{Data: super, Segment: size, Partial: true})
		if len(got) != segments {
			t.Errorf("%s: %d packets came out, want %d", name, len(got), segments)
			continue
		}
		var all []byte
		for _, p := range got {
			complete(t, name, p)
			n := len(p.Data) - transport
			if s := sum1071(p.Data[transport-addressBytes(k):transport], []byte{0, protocolOf(k)}, be16(n), p.Data[transport:]); s != 0xffff {
				t.Errorf("%s: checksum of a segment is wrong, sum %#x", name, s)
			}
			if !k.v6 && sum1071(p.Data[:20]) != 0xffff {
				t.Errorf("%s: IPv4 header checksum is wrong", name)
			}
			header := 20
			if k.udp {
				header = 8
			}
			all = append(all, p.Data[transport+header:]...)
		}
		if !bytes.Equal(all, payload) {
			t.Errorf("%s: the payload was changed", name)
		}
	}
}

// complete does what the host's device does.
func complete(t *testing.T, name string, p core.Packet) {
	t.Helper()
	if !p.Partial {
		return
	}
	if err := gso.Complete(p.Data); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

func addressBytes(k inner) int {
	if k.v6 {
		return 32
	}
	return 8
}

func protocolOf(k inner) byte {
	if k.udp {
		return gso.ProtocolUDP
	}
	return gso.ProtocolTCP
}
