package classify

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

func TestBothDirectionsAreOneFlow(t *testing.T) {
	for _, c := range []struct{ from, to netip.AddrPort }{{here4, there4}, {there4, here4}, {here6, there6}, {there6, here6}} {
		s := newStream(t, "off")
		s.from, s.to = c.from, c.to
		s.send([]byte("there"))
		s.reversed().send([]byte("and back"))
		flows := s.tab.Flows(s.now)
		if len(flows) != 1 {
			t.Fatalf("%d flows", len(flows))
		}
		f := flows[0]
		if f.Local != c.from || f.Remote != c.to || f.Sent.Packets != 1 || f.Received.Packets != 1 || f.Protocol != "udp" {
			t.Errorf("%+v", f)
		}
	}
}

func TestHeadersThatAreWalked(t *testing.T) {
	udp := udpPacket(here6, there6, opus(0)).Data[40:]
	extension := func(next uint8, n int) []byte { return append([]byte{next, uint8(n)}, make([]byte, 6+8*n)...) }
	chain := func(parts ...[]byte) []byte {
		var b []byte
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	v6 := func(first uint8, body []byte) []byte { return ipPacket(here6.Addr(), there6.Addr(), first, body) }
	options := udpPacket(here4, there4, opus(0)).Data
	options = append(append([]byte{0x46}, options[1:20]...), append(make([]byte, 4), options[20:]...)...)
	fragment := udpPacket(here4, there4, opus(0)).Data
	fragment[6] = 0x20
	many := chain()
	for range maxExtensions {
		many = append(many, extension(0, 0)...)
	}
	for _, c := range []struct {
		name string
		p    []byte
		ok   bool
	}{
		{"hop by hop, destination options", v6(0, chain(extension(60, 1), extension(gso.ProtocolUDP, 0), udp)), true},
		{"authentication", v6(51, chain(extension(gso.ProtocolUDP, 0), udp)[:8+len(udp)]), true},
		{"IPv4 options", options, true},
		{"IPv4 fragment", fragment, false},
		{"IPv6 fragment", v6(44, chain(extension(gso.ProtocolUDP, 0), udp)), false},
		{"too many extensions", v6(0, chain(many, udp)), false},
		{"extension cut", v6(0, []byte{17, 0, 0}), false},
		{"ICMP", ipPacket(here4.Addr(), there4.Addr(), 1, make([]byte, 64)), false},
		{"TCP cut", ipPacket(here4.Addr(), there4.Addr(), gso.ProtocolTCP, make([]byte, 19)), false},
		{"TCP", ipPacket(here4.Addr(), there4.Addr(), gso.ProtocolTCP, make([]byte, 20)), true},
	} {
		var h header
		if ok := h.parse(c.p); ok != c.ok {
			t.Errorf("%s: %v, want %v", c.name, ok, c.ok)
		} else if ok && h.protocol == gso.ProtocolUDP && (h.src.port != here4.Port() || len(c.p)-h.payload != 92) {
			t.Errorf("%s: %+v", c.name, h)
		}
	}
}

func TestProtocol(t *testing.T) {
	v6 := func(first uint8, body ...byte) []byte { return ipPacket(here6.Addr(), there6.Addr(), first, body) }
	behind := func(next uint8) []byte { return []byte{next, 0, 0, 0, 0, 0, 0, 0} }
	for _, c := range []struct {
		name string
		p    []byte
		want uint8
	}{
		{"IPv4", ipPacket(here4.Addr(), there4.Addr(), gso.ProtocolTCP, nil), gso.ProtocolTCP},
		{"IPv6", v6(gso.ProtocolTCP), gso.ProtocolTCP},
		{"behind destination options", v6(60, behind(gso.ProtocolTCP)...), gso.ProtocolTCP},
		{"IPv6 fragment", v6(44, behind(gso.ProtocolTCP)...), 0},
		{"extension cut", v6(60, gso.ProtocolTCP), 0},
	} {
		if got := Protocol(c.p); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestTableIsBounded(t *testing.T) {
	const limit = 64
	tab, err := NewTable("rtp", Limits{Flows: limit, Idle: time.Minute}, 1)
	if err != nil {
		t.Fatal(err)
	}
	now := core.Time(1)
	for i := range 12 {
		tab.Packet(now, udpPacket(here4, there4, opus(i)), false)
		now = now.Add(20 * time.Millisecond)
	}
	for i := range 10 * limit {
		tab.Packet(now, udpPacket(here4, netip.AddrPortFrom(there4.Addr(), uint16(i+2000)), []byte("xx")), false)
		now++
	}
	flows := tab.Flows(now)
	if len(flows) > limit || len(flows) < limit/2 {
		t.Errorf("%d flows, limit %d", len(flows), limit)
	}
	calls := 0
	for _, f := range flows {
		if f.State == Confirmed {
			calls++
		}
	}
	if st := tab.Stats(); calls != 1 || st.Evicted < 9*limit {
		t.Errorf("%d calls are left, %+v", calls, st)
	}
	now = now.Add(time.Minute)
	if n := len(tab.Flows(now)); n != 0 {
		t.Errorf("%d flows are not idle after a minute", n)
	}
	tab.Trim(now)
	for _, set := range tab.sets {
		if set != nil {
			t.Fatal("memory of idle flows is kept")
		}
	}
	tab.Carried(1, 1, true) // of a flow that is gone: no harm
}

// TestIdleFlowsGiveWay: a set that is full of idle flows evicts none.
func TestIdleFlowsGiveWay(t *testing.T) {
	tab, _ := NewTable("rtp", Limits{Flows: ways, Idle: time.Second}, 1)
	now := core.Time(1)
	for range 3 {
		for i := range ways {
			tab.Packet(now, udpPacket(here4, netip.AddrPortFrom(there4.Addr(), uint16(now)+uint16(i)), []byte("xx")), false)
		}
		now = now.Add(time.Second + 1)
	}
	if st := tab.Stats(); st.Evicted != 0 {
		t.Errorf("%d evicted", st.Evicted)
	}
}

func TestSet(t *testing.T) {
	s := newStream(t, "rtp")
	s.firsts(12, 20*time.Millisecond, opus)
	if err := s.tab.Set("off"); err != nil {
		t.Fatal(err)
	}
	if st := s.send(opus(12)); st != Other {
		t.Errorf("%v after the classifier was switched off", st)
	}
	if f := s.tab.Flows(s.now)[0]; f.Sent.Packets != 13 {
		t.Errorf("%d packets", f.Sent.Packets)
	}
	if err := s.tab.Set("magic"); err == nil || s.tab.Name() != "off" {
		t.Errorf("%v, %s", err, s.tab.Name())
	}
}

func TestRateAndLinks(t *testing.T) {
	s := newStream(t, "rtp")
	var v Verdict
	for i := range 200 {
		v = s.tab.Packet(s.now, udpPacket(s.from, s.to, opus(i)), false)
		s.now = s.now.Add(20 * time.Millisecond)
	}
	s.tab.Carried(v.Ref, 5, true)
	f := s.tab.Flows(s.now)[0]
	if want := 120.0 * 50; f.Sent.Rate < want*0.9 || f.Sent.Rate > want*1.1 {
		t.Errorf("rate %g, want %g", f.Sent.Rate, want)
	}
	if f.Links != 5 || !f.LowLatency || f.Sent.SSRC != 7 || f.Sent.PayloadType != 111 || f.Sent.Clock != 48000 {
		t.Errorf("%+v", f)
	}
	if got, want := f.Sent.String(), "payload type 111 at 48 kHz, SSRC 00000007: one source, sequence and timestamps in step"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestSuperPacket: the first segment of a super-packet speaks for it.
func TestSuperPacket(t *testing.T) {
	tab, _ := NewTable("rtp", Limits{}, 1)
	p := udpPacket(here4, there4, append(opus(0), opus(1)...))
	p.Segment = 92
	tab.Packet(1, p, false)
	if f := tab.Flows(1)[0]; f.Sent.Packets != 2 {
		t.Errorf("%d packets", f.Sent.Packets)
	}
}

// TestRandomPayloads: whatever comes, random bytes are no call.
func TestRandomPayloads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab, _ := NewTable("rtp", Limits{}, 1)
		now := core.Time(1)
		for range rapid.IntRange(5, 50).Draw(t, "packets") {
			b := rapid.SliceOfN(rapid.Byte(), 12, 40).Draw(t, "payload")
			binary.BigEndian.PutUint32(b[8:], rapid.Uint32Range(0, 1<<32-1).Draw(t, "where the source is"))
			b[0] = 0x80
			if st := tab.Packet(now, udpPacket(here4, there4, b), false).State; st == Confirmed {
				t.Fatalf("a call")
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 50).Draw(t, "ms")) * time.Millisecond)
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add(udpPacket(here4, there4, opus(0)).Data, udpPacket(there6, here6, report(7)).Data, uint8(0))
	f.Add(udpPacket(here4, there4, append([]byte{0x40, 0, 0, 92}, opus(0)...)).Data, ipPacket(here6.Addr(), there6.Addr(), 0, make([]byte, 20)), uint8(1))
	f.Fuzz(func(t *testing.T, a, b []byte, segment uint8) {
		for _, name := range Names() {
			tab, _ := NewTable(name, Limits{Flows: 8}, 1)
			now := core.Time(1)
			for i := range 12 {
				tab.Packet(now, core.Packet{Data: a, Segment: int(segment)}, i%3 == 0)
				tab.Packet(now, core.Packet{Data: b}, i%2 == 0)
				now = now.Add(20 * time.Millisecond)
			}
			for _, flow := range tab.Flows(now) {
				_ = flow.Sent.String()
			}
		}
	})
}

// BenchmarkPacket is the cost of a packet: of one call, of one download, and of
// many flows that take turns.
func BenchmarkPacket(b *testing.B) {
	calls := make([]core.Packet, 1000)
	for i := range calls {
		calls[i] = udpPacket(here4, there4, opus(i))
	}
	download := []core.Packet{{Data: ipPacket(there4.Addr(), here4.Addr(), gso.ProtocolTCP, make([]byte, 1380))}}
	many := make([]core.Packet, 512)
	for i := range many {
		many[i] = udpPacket(here4, netip.AddrPortFrom(there4.Addr(), uint16(3000+i)), opus(i))
	}
	for _, c := range []struct {
		name    string
		packets []core.Packet
	}{{"call", calls}, {"download", download}, {"512 flows", many}} {
		for _, name := range []string{"rtp", "rtp-basic", "off"} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				tab, _ := NewTable(name, Limits{}, 1)
				b.ReportAllocs()
				now := core.Time(1)
				for i := range b.N {
					p := c.packets[i%len(c.packets)]
					tab.Packet(now, p, false)
					now += 1000
				}
			})
		}
	}
}

func TestNoAllocation(t *testing.T) {
	s := newStream(t, "rtp")
	packets := make([]core.Packet, 64)
	for i := range packets {
		packets[i] = udpPacket(here4, netip.AddrPortFrom(there4.Addr(), uint16(3000+i%32)), opus(i))
	}
	round := func() {
		for _, p := range packets {
			s.tab.Packet(s.now, p, false)
			s.now++
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%g allocations per %d packets", n, len(packets))
	}
}
