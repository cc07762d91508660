package gso

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
)

// joined returns the packet that a group stands for.
func joined(g Group) core.Packet {
	return core.Packet{Data: bytes.Join(g.Parts, nil), Segment: g.Segment, Partial: g.Partial}
}

// counts coalesces packets and returns the number of packets in each group.
func counts(pkts ...segment) string {
	c := Coalescer{TCP: true, UDP: true}
	var in []core.Packet
	for _, s := range pkts {
		in = append(in, core.Packet{Data: s.build(), Partial: s.partial})
	}
	groups, malformed := c.Coalesce(in)
	var n []int
	for _, g := range groups {
		n = append(n, len(g.Parts))
	}
	if malformed > 0 {
		return fmt.Sprint(n, " and malformed ", malformed)
	}
	return fmt.Sprint(n)
}

func TestCoalescerRules(t *testing.T) {
	data := bytesUpTo(1000)
	base := segment{tcp: flagACK, seq: 100, id: 7, payload: data}
	udp := segment{udp: true, id: 7, payload: data}
	// after returns s as the n-th successor of base, changed by f.
	after := func(s segment, n int, f func(*segment)) segment {
		s.seq += uint32(1000 * n)
		s.id += uint16(n)
		if f != nil {
			f(&s)
		}
		return s
	}
	six := func(s segment) segment { s.v6 = true; return s }
	bad := func(s *segment) { s.partial = true } // given as complete below: a wrong checksum

	for _, test := range []struct {
		name string
		pkts []segment
		want string
	}{
		{"in order", []segment{base, after(base, 1, nil), after(base, 2, nil)}, "[3]"},
		{"in order, IPv6", []segment{six(base), after(six(base), 1, nil)}, "[2]"},
		{"short one ends", []segment{base, after(base, 1, func(s *segment) { s.payload = data[:10] }),
			{tcp: flagACK, seq: 1110, id: 9, payload: data}}, "[2 1]"},
		{"PSH ends", []segment{base, after(base, 1, func(s *segment) { s.tcp |= flagPSH }), after(base, 2, nil)}, "[2 1]"},
		{"PSH on the first", []segment{after(base, 0, func(s *segment) { s.tcp |= flagPSH }), after(base, 1, nil)}, "[1 1]"},
		{"longer one", []segment{base, after(base, 1, func(s *segment) { s.payload = bytesUpTo(1001) })}, "[1 1]"},
		{"gap", []segment{base, after(base, 2, nil), after(base, 3, nil)}, "[1 2]"},
		{"repeated", []segment{base, base}, "[1 1]"},
		{"FIN", []segment{base, after(base, 1, func(s *segment) { s.tcp |= flagFIN })}, "[1 1]"},
		{"no ACK", []segment{base, after(base, 1, func(s *segment) { s.tcp = 0 })}, "[1 1]"},
		{"pure acknowledgements", []segment{{tcp: flagACK, seq: 1}, {tcp: flagACK, seq: 1}}, "[1 1]"},
		{"other acknowledgement", []segment{base, after(base, 1, func(s *segment) { s.ack++ })}, "[1 1]"},
		{"other window", []segment{base, after(base, 1, func(s *segment) { s.window++ })}, "[1 1]"},
		{"other TOS", []segment{base, after(base, 1, func(s *segment) { s.tos++ })}, "[1 1]"},
		{"other traffic class", []segment{six(base), after(six(base), 1, func(s *segment) { s.tos = 16 })}, "[1 1]"},
		{"other TTL", []segment{base, after(base, 1, func(s *segment) { s.ttl++ })}, "[1 1]"},
		{"other hop limit", []segment{six(base), after(six(base), 1, func(s *segment) { s.ttl++ })}, "[1 1]"},
		{"other options", []segment{base, after(base, 1, func(s *segment) { s.options = []byte{1, 1, 1, 1} })}, "[1 1]"},
		{"other flags of IPv4", []segment{base, after(base, 1, func(s *segment) { s.flags = ipv4DontFragment })}, "[1 1]"},
		{"identification jumps", []segment{base, after(base, 1, func(s *segment) { s.id++ })}, "[1 1]"},
		{"identification without meaning", []segment{after(base, 0, func(s *segment) { s.flags = ipv4DontFragment }),
			after(base, 1, func(s *segment) { s.flags = ipv4DontFragment; s.id = 0 })}, "[2]"},
		{"two flows interleaved", []segment{base, after(base, 0, func(s *segment) { s.sport++ }),
			after(base, 1, nil), after(base, 1, func(s *segment) { s.sport++ })}, "[2 2]"},
		{"TCP and UDP on the same ports", []segment{base, udp, after(base, 1, nil), after(udp, 1, nil)}, "[2 2]"},
		{"fragment between", []segment{base, {tcp: flagACK, flags: 100, payload: data}, after(base, 1, nil)}, "[1 1 1]"},
		{"UDP of equal size", []segment{udp, after(udp, 1, nil), after(udp, 2, nil)}, "[3]"},
		{"UDP, IPv6", []segment{six(udp), six(udp)}, "[2]"},
		{"UDP, shorter ends", []segment{udp, after(udp, 1, func(s *segment) { s.payload = data[:1] }), after(udp, 2, nil)}, "[2 1]"},
		{"UDP, longer", []segment{udp, after(udp, 1, func(s *segment) { s.payload = bytesUpTo(1001) })}, "[1 1]"},
		{"UDP without data", []segment{{udp: true}, {udp: true, id: 1}}, "[1 1]"},
		{"all partial", []segment{after(base, 0, bad), after(base, 1, bad)}, "[2]"},
		{"partial and complete", []segment{after(base, 0, bad), after(base, 1, nil), after(base, 2, bad)}, "[3]"},
	} {
		if got := counts(test.pkts...); got != test.want {
			t.Errorf("%s: groups %s, want %s", test.name, got, test.want)
		}
	}
}

func TestCoalescerChecksums(t *testing.T) {
	good := segment{tcp: flagACK, payload: bytesUpTo(500)}
	next := segment{tcp: flagACK, seq: 500, id: 1, payload: bytesUpTo(500)}
	for _, test := range []struct {
		name        string
		first, next bool // the packet's checksum is wrong
		want        int
	}{
		{"both right", false, false, 1},
		{"first wrong", true, false, 2},
		{"second wrong", false, true, 2},
	} {
		a, b := good.build(), next.build()
		if test.first {
			a[len(a)-1]++
		}
		if test.next {
			b[len(b)-1]++
		}
		wantA, wantB := bytes.Clone(a), bytes.Clone(b)
		c := Coalescer{TCP: true}
		groups, _ := c.Coalesce([]core.Packet{{Data: a}, {Data: b}})
		if len(groups) != test.want {
			t.Errorf("%s: %d groups, want %d", test.name, len(groups), test.want)
		}
		if test.want == 2 && (!bytes.Equal(a, wantA) || !bytes.Equal(b, wantB)) {
			t.Errorf("%s: a packet that passes alone was changed", test.name)
		}
	}
	zero := segment{udp: true, payload: bytesUpTo(500)}.build()
	zero[ipv4Len+6], zero[ipv4Len+7] = 0, 0
	c := Coalescer{UDP: true}
	if groups, _ := c.Coalesce([]core.Packet{{Data: zero}, {Data: bytes.Clone(zero)}}); len(groups) != 2 {
		t.Error("UDP datagrams without checksum were joined")
	}
}

func TestCoalescerPassesUnchanged(t *testing.T) {
	options := append([]byte{0x46}, segment{tcp: flagACK, payload: bytesUpTo(100)}.build()[1:]...)
	short := segment{tcp: flagACK, payload: bytesUpTo(100)}.build()
	icmp := bytes.Clone(short)
	icmp[9] = 1
	for _, p := range [][]byte{{}, {0x45}, options, append(short, 1), short[:90], icmp} {
		before := bytes.Clone(p)
		c := Coalescer{TCP: true, UDP: true}
		groups, malformed := c.Coalesce([]core.Packet{{Data: p}, {Data: p}})
		if malformed != 0 || len(groups) != 2 || groups[0].Partial || !bytes.Equal(joined(groups[0]).Data, before) {
			t.Errorf("%x: %d groups, malformed %d", before, len(groups), malformed)
		}
	}
}

func TestCoalescerLeavesOutMalformed(t *testing.T) {
	whole := segment{tcp: flagACK, payload: bytesUpTo(100), partial: true}.build()
	c := Coalescer{TCP: true}
	groups, malformed := c.Coalesce([]core.Packet{
		{Data: whole[:90], Partial: true},
		{Data: nil, Partial: true},
		{Data: whole, Segment: 10, Partial: true},
		{Data: whole, Partial: true},
	})
	if len(groups) != 1 || malformed != 3 {
		t.Errorf("%d groups, %d malformed; want 1 and 3", len(groups), malformed)
	}
}

func TestCoalescerBounds(t *testing.T) {
	run := func(s segment, size, n int) []core.Packet {
		var pkts []core.Packet
		for range n {
			s.payload = bytesUpTo(size)
			pkts = append(pkts, core.Packet{Data: s.build(), Partial: s.partial})
			s.seq += uint32(size)
			s.id++
		}
		return pkts
	}
	for _, test := range []struct {
		name   string
		pkts   []core.Packet
		groups int
	}{
		{"65535 bytes", run(segment{tcp: flagACK, partial: true}, 1400, 47), 2},
		{"TCP segments", run(segment{tcp: flagACK, partial: true}, 10, maxTCPParts+1), 2},
		{"UDP datagrams", run(segment{udp: true, partial: true}, 10, maxUDPParts+1), 2},
	} {
		c := Coalescer{TCP: true, UDP: true}
		groups, _ := c.Coalesce(test.pkts)
		if len(groups) != test.groups {
			t.Errorf("%s: %d groups, want %d", test.name, len(groups), test.groups)
		}
		for _, g := range groups {
			if g.Len > MaxPacket || g.Len != len(joined(g).Data) {
				t.Errorf("%s: a group of %d bytes, Len %d", test.name, len(joined(g).Data), g.Len)
			}
		}
	}
	var many []core.Packet
	for range 2 {
		for flow := range maxOpen + 1 {
			s := segment{tcp: flagACK, sport: uint16(flow), seq: uint32(len(many) / (maxOpen + 1) * 10), id: uint16(len(many) / (maxOpen + 1)), payload: bytesUpTo(10)}
			many = append(many, core.Packet{Data: s.build()})
		}
	}
	c := Coalescer{TCP: true}
	if c.Coalesce(many); len(c.open) > maxOpen {
		t.Errorf("%d open groups, bound %d", len(c.open), maxOpen)
	}
}

func TestCoalescerOffByDefault(t *testing.T) {
	var c Coalescer
	a := segment{tcp: flagACK, payload: bytesUpTo(10)}
	b := segment{tcp: flagACK, seq: 10, id: 1, payload: bytesUpTo(10)}
	if groups, _ := c.Coalesce([]core.Packet{{Data: a.build()}, {Data: b.build()}}); len(groups) != 2 {
		t.Errorf("%d groups, want 2", len(groups))
	}
}

// TestCoalescerProperty cuts what was coalesced and expects the same packets,
// each flow in its order.
func TestCoalescerProperty(t *testing.T) {
	var c Coalescer
	rapid.Check(t, func(t *rapid.T) {
		c.TCP, c.UDP = rapid.Bool().Draw(t, "TCP"), rapid.Bool().Draw(t, "UDP")
		var in []core.Packet
		want := map[string][][]byte{}
		for range rapid.IntRange(1, 4).Draw(t, "bursts") {
			s := drawSegment(t)
			for range rapid.IntRange(1, 6).Draw(t, "burst") {
				s.payload = bytesUpTo(rapid.SampledFrom([]int{0, 1, 100, 100, 100, 101}).Draw(t, "size"))
				s.partial = rapid.Bool().Draw(t, "partial")
				s.tcp = rapid.SampledFrom([]byte{flagACK, flagACK, flagACK, flagACK | flagPSH, flagACK | flagFIN}).Draw(t, "flags")
				p := s.build()
				in = append(in, core.Packet{Data: p, Partial: s.partial})
				s.seq += uint32(len(s.payload))
				s.id++
				s.partial = false
				want[flowOf(p)] = append(want[flowOf(p)], s.rebuilt(p))
			}
		}
		perm := interleave(t, in)
		groups, malformed := c.Coalesce(perm)
		if malformed != 0 {
			t.Fatalf("%d malformed", malformed)
		}
		got := map[string][][]byte{}
		for _, g := range groups {
			for _, p := range cut(t, joined(g)) {
				if g.Partial {
					if err := Complete(p); err != nil {
						t.Fatal(err)
					}
				}
				if !naiveValid(p) {
					t.Fatalf("not valid: %x", p)
				}
				got[flowOf(p)] = append(got[flowOf(p)], withoutFreeID(p))
			}
		}
		for flow := range want {
			if !slices.EqualFunc(got[flow], want[flow], bytes.Equal) {
				t.Fatalf("a flow changed:\n got %x\nwant %x", got[flow], want[flow])
			}
		}
	})
}

// rebuilt returns the complete form of the packet p that s was built as.
func (s segment) rebuilt(p []byte) []byte {
	q := bytes.Clone(p)
	h, _ := ParseHeaders(q)
	setLengths(q, h, len(q))
	_ = Complete(q)
	return withoutFreeID(q)
}

// withoutFreeID clears the identification where it has no meaning, which is
// where coalescing may change it.
func withoutFreeID(p []byte) []byte {
	q := bytes.Clone(p)
	if q[0]>>4 == 4 && q[6]&0x40 != 0 {
		q[4], q[5], q[10], q[11] = 0, 0, 0, 0
	}
	return q
}

// flowOf names the flow by addresses, ports and protocol.
func flowOf(p []byte) string {
	h, _ := ParseHeaders(p)
	return fmt.Sprint(h.V6, h.Protocol, ports(p, h))
}

// interleave mixes the packets of different flows and keeps each in order.
func interleave(t *rapid.T, in []core.Packet) []core.Packet {
	flows := map[string][]core.Packet{}
	var names []string
	for _, p := range in {
		f := flowOf(p.Data)
		if flows[f] == nil {
			names = append(names, f)
		}
		flows[f] = append(flows[f], p)
	}
	var out []core.Packet
	for len(names) > 0 {
		i := rapid.IntRange(0, len(names)-1).Draw(t, "turn")
		f := names[i]
		out = append(out, flows[f][0])
		if flows[f] = flows[f][1:]; len(flows[f]) == 0 {
			names = slices.Delete(names, i, i+1)
		}
	}
	return out
}

// burst is 45 full segments of one flow with the given checksum state.
func burst(partial bool) []core.Packet {
	var pkts []core.Packet
	for i := range 45 {
		s := segment{tcp: flagACK, seq: uint32(i * 1400), id: uint16(i), payload: bytesUpTo(1400), partial: partial}
		pkts = append(pkts, core.Packet{Data: s.build(), Partial: partial})
	}
	return pkts
}

func TestCoalescerAllocatesNothing(t *testing.T) {
	pkts, pristine := burst(true), burst(true)[0].Data
	c := Coalescer{TCP: true, UDP: true}
	c.Coalesce(pkts)
	if n := testing.AllocsPerRun(100, func() {
		copy(pkts[0].Data, pristine)
		if groups, malformed := c.Coalesce(pkts); len(groups) != 1 || malformed != 0 {
			t.Fatal("not one group")
		}
	}); n != 0 {
		t.Errorf("%v allocations per batch", n)
	}
}

func FuzzCoalescer(f *testing.F) {
	a := segment{tcp: flagACK, payload: bytesUpTo(50)}
	b := segment{tcp: flagACK, seq: 50, id: 1, payload: bytesUpTo(50)}
	f.Add(a.build(), b.build(), true)
	f.Add(segment{udp: true, payload: bytesUpTo(9)}.build(), segment{v6: true}.build(), false)
	f.Fuzz(func(t *testing.T, a, b []byte, partial bool) {
		c := Coalescer{TCP: true, UDP: true}
		total := len(a) + len(b)
		groups, malformed := c.Coalesce([]core.Packet{{Data: a, Partial: partial}, {Data: b}})
		n := malformed
		for _, g := range groups {
			n += len(g.Parts)
			total -= g.Len + (len(g.Parts)-1)*g.Headers.Len
			if g.Len != len(joined(g).Data) {
				t.Fatalf("Len %d, parts are %d", g.Len, len(joined(g).Data))
			}
			if len(g.Parts) > 1 {
				cut(t, joined(g))
			}
		}
		if n != 2 || malformed == 0 && total != 0 {
			t.Fatalf("%d packets of 2, %d bytes missing", n, total)
		}
	})
}

func BenchmarkCoalescer(b *testing.B) {
	for _, partial := range []bool{true, false} {
		b.Run(fmt.Sprintf("partial=%v", partial), func(b *testing.B) {
			pristine := burst(partial)
			pkts := burst(partial)
			c := Coalescer{TCP: true}
			b.SetBytes(45 * 1400)
			b.ReportAllocs()
			for b.Loop() {
				copy(pkts[0].Data[:40], pristine[0].Data)
				c.Coalesce(pkts)
			}
		})
	}
}
