package gso

import (
	"bytes"
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
)

// cut takes all segments of a packet.
func cut(t interface{ Fatalf(string, ...any) }, p core.Packet) [][]byte {
	var c Cursor
	if err := c.Init(p); err != nil {
		t.Fatalf("Init: %v", err)
	}
	total := c.Left()
	var out [][]byte
	for c.Left() > 0 {
		if got := len(out) + c.Left(); got != total {
			t.Fatalf("%d segments, then %d", total, got)
		}
		want := c.NextLen()
		dst := make([]byte, want+16)
		n := c.Next(dst)
		if n != want {
			t.Fatalf("Next wrote %d bytes, NextLen said %d", n, want)
		}
		out = append(out, dst[:n])
	}
	if len(out) != total || c.NextLen() != 0 || c.Next(nil) != 0 {
		t.Fatalf("%d segments of %d, then NextLen %d", len(out), total, c.NextLen())
	}
	return out
}

func TestCursorCutsLikeTheKernel(t *testing.T) {
	options := []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}
	const all = flagACK | flagPSH | flagFIN | flagCWR
	for _, test := range []struct {
		name   string
		packet segment
		size   int
		flags  []byte // of each TCP segment
		lens   []int  // payload of each segment
	}{
		{"tcp4", segment{tcp: all, options: options, seq: 0xfffffff0, id: 0xffff, payload: bytesUpTo(2500)}, 1000,
			[]byte{flagACK | flagCWR, flagACK, flagACK | flagPSH | flagFIN}, []int{1000, 1000, 500}},
		{"tcp6", segment{v6: true, tcp: all, seq: 7, payload: bytesUpTo(2000)}, 1000,
			[]byte{flagACK | flagCWR, flagACK | flagPSH | flagFIN}, []int{1000, 1000}},
		{"tcp4 of one segment", segment{tcp: all, payload: bytesUpTo(10)}, 1000, []byte{all}, []int{10}},
		{"udp4", segment{udp: true, payload: bytesUpTo(1201)}, 600, nil, []int{600, 600, 1}},
		{"udp6", segment{v6: true, udp: true, payload: bytesUpTo(1200)}, 600, nil, []int{600, 600}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.packet.partial = true
			super := test.packet.build()
			before := bytes.Clone(super)
			got := cut(t, core.Packet{Data: super, Segment: test.size, Partial: true})
			if !bytes.Equal(super, before) {
				t.Error("the super-packet was changed")
			}
			if len(got) != len(test.lens) {
				t.Fatalf("%d segments, want %d", len(got), len(test.lens))
			}
			at := 0
			for i, p := range got {
				want := test.packet
				want.payload = want.payload[at : at+test.lens[i]]
				if !want.v6 {
					want.id += uint16(i)
				}
				if !want.udp {
					want.seq += uint32(at)
					want.tcp = test.flags[i]
				}
				if !bytes.Equal(p, want.build()) {
					t.Errorf("segment %d:\n got %x\nwant %x", i, p, want.build())
				}
				at += test.lens[i]
				if err := Complete(p); err != nil || !naiveValid(p) {
					t.Errorf("segment %d is not valid once completed (%v)", i, err)
				}
			}
		})
	}
}

func TestCursorOrdinaryPacket(t *testing.T) {
	for _, data := range [][]byte{{0x45}, segment{tcp: flagSYN}.build(), bytesUpTo(1400)} {
		got := cut(t, core.Packet{Data: data})
		if len(got) != 1 || !bytes.Equal(got[0], data) {
			t.Errorf("ordinary packet of %d bytes came out as %d segments", len(data), len(got))
		}
	}
	var c Cursor
	if err := c.Init(core.Packet{}); err != nil || c.Left() != 0 {
		t.Errorf("empty packet: %v, %d left", err, c.Left())
	}
}

func TestCursorRefuses(t *testing.T) {
	whole := segment{tcp: flagACK, payload: bytesUpTo(3000)}
	fragment := whole
	fragment.flags = ipv4MoreFragments
	bad := whole.build()
	bad[0] = 0x55
	short := whole.build()
	short[32] = 0x40
	icmp := whole.build()
	icmp[9] = 1
	for _, test := range []struct {
		name string
		data []byte
		size int
		want error
	}{
		{"empty", nil, 1000, ErrShort},
		{"version", bad, 1000, ErrVersion},
		{"cut IP header", whole.build()[:19], 1000, ErrShort},
		{"cut TCP header", whole.build()[:39], 1000, ErrShort},
		{"TCP header of 16 bytes", short, 1000, ErrShort},
		{"fragment", fragment.build(), 1000, ErrFragment},
		{"ICMP", icmp, 1000, ErrProtocol},
		{"negative size", whole.build(), -1, ErrSegment},
		{"size over a packet", whole.build(), MaxPacket, ErrSegment},
		{"no payload", whole.build()[:40], 1000, ErrSegment},
	} {
		var c Cursor
		if err := c.Init(core.Packet{Data: test.data, Segment: test.size, Partial: true}); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if c.Left() != 0 || c.NextLen() != 0 || c.Next(nil) != 0 {
			t.Errorf("%s: something is left", test.name)
		}
	}
}

func TestCursorProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSegment(t)
		s.payload = bytesUpTo(rapid.IntRange(1, 60000).Draw(t, "payload"))
		size := rapid.IntRange(max(1, len(s.payload)/200), 65000).Draw(t, "size")
		s.partial = true
		super := s.build()
		h, err := ParseHeaders(super)
		if err != nil {
			t.Fatal(err)
		}
		var stream []byte
		for _, p := range cut(t, core.Packet{Data: super, Segment: size, Partial: true}) {
			if err := Complete(p); err != nil {
				t.Fatal(err)
			}
			if !naiveValid(p) {
				t.Fatalf("segment %x is not valid", p[:h.Len])
			}
			if !s.udp && binary.BigEndian.Uint32(p[h.Transport+4:]) != s.seq+uint32(len(stream)) {
				t.Fatalf("wrong sequence number after %d bytes", len(stream))
			}
			stream = append(stream, p[h.Len:]...)
		}
		if !bytes.Equal(stream, s.payload) {
			t.Fatal("the stream changed")
		}
	})
}

// drawSegment draws headers of any kind that can be segmented.
func drawSegment(t *rapid.T) segment {
	s := segment{
		v6:     rapid.Bool().Draw(t, "v6"),
		udp:    rapid.Bool().Draw(t, "udp"),
		sport:  rapid.Uint16Range(0, 3).Draw(t, "sport"),
		tos:    rapid.ByteMax(1).Draw(t, "tos"),
		ttl:    rapid.ByteMax(1).Draw(t, "ttl"),
		id:     rapid.Uint16().Draw(t, "id"),
		seq:    rapid.Uint32().Draw(t, "seq"),
		ack:    rapid.Uint32Range(0, 1).Draw(t, "ack"),
		window: rapid.Uint16().Draw(t, "window"),
		tcp:    flagACK,
	}
	if rapid.Bool().Draw(t, "df") {
		s.flags = ipv4DontFragment
	}
	if rapid.Bool().Draw(t, "timestamps") {
		s.options = []byte{1, 1, 8, 10, 0, 0, 0, rapid.ByteMax(1).Draw(t, "ts"), 0, 0, 0, 0}
	}
	return s
}

func TestCursorAllocatesNothing(t *testing.T) {
	super := segment{tcp: flagACK, payload: bytesUpTo(60000), partial: true}.build()
	arena := make([]byte, 2000)
	var c Cursor
	if n := testing.AllocsPerRun(100, func() {
		if c.Init(core.Packet{Data: super, Segment: 1400, Partial: true}) != nil {
			t.Fatal("Init")
		}
		for c.Left() > 0 {
			c.Next(arena)
		}
	}); n != 0 {
		t.Errorf("%v allocations per super-packet", n)
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(segment{tcp: flagACK | flagFIN, payload: bytesUpTo(300), partial: true}.build(), 100)
	f.Add(segment{v6: true, udp: true, payload: bytesUpTo(300), partial: true}.build(), 99)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		var c Cursor
		if c.Init(core.Packet{Data: data, Segment: size, Partial: true}) != nil {
			return
		}
		total := 0
		for c.Left() > 0 {
			p := make([]byte, c.NextLen())
			c.Next(p)
			if size != 0 {
				if err := Complete(p); err != nil {
					t.Fatalf("a segment cannot be completed: %v", err)
				}
				total += len(p) - c.headers.Len
			}
		}
		if size != 0 && total != len(data)-c.headers.Len {
			t.Fatalf("%d payload bytes of %d", total, len(data)-c.headers.Len)
		}
	})
}

func BenchmarkCursor(b *testing.B) {
	super := segment{tcp: flagACK, payload: bytesUpTo(45 * 1400), partial: true}.build()
	arena := make([]byte, 2000)
	b.SetBytes(int64(len(super)))
	b.ReportAllocs()
	var c Cursor
	for b.Loop() {
		_ = c.Init(core.Packet{Data: super, Segment: 1400, Partial: true})
		for c.Left() > 0 {
			c.Next(arena)
		}
	}
}
