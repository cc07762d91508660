package qos

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func mustNew(t testing.TB, texts ...Text) *Rules {
	t.Helper()
	rules, err := ParseAll(texts)
	if err != nil {
		t.Fatal(err)
	}
	return New(rules)
}

// ip makes a packet from 10.8.0.2 (or fd00::2) and port 5000 to another.
func ip(to string, port uint16, protocol, dscp uint8) []byte {
	a := netip.MustParseAddr(to)
	var p []byte
	if a.Is4() {
		p = make([]byte, 20, 60)
		p[0], p[1], p[9] = 0x45, dscp<<2, protocol
		copy(p[12:], []byte{10, 8, 0, 2})
		b := a.As4()
		copy(p[16:], b[:])
	} else {
		p = make([]byte, 40, 80)
		p[0], p[1], p[6], p[8], p[23] = 0x60|dscp>>2, dscp<<6, protocol, 0xfd, 2
		b := a.As16()
		copy(p[24:], b[:])
	}
	p = binary.BigEndian.AppendUint16(p, 5000)
	p = binary.BigEndian.AppendUint16(p, port)
	return append(p, make([]byte, 16)...)
}

// turned is a packet in the other direction.
func turned(p []byte) []byte {
	p = append([]byte(nil), p...)
	at, n := 12, 4
	if p[0]>>4 == 6 {
		at, n = 8, 16
	}
	for i := range n {
		p[at+i], p[at+n+i] = p[at+n+i], p[at+i]
	}
	t := at + 2*n
	p[t], p[t+1], p[t+2], p[t+3] = p[t+2], p[t+3], p[t], p[t+1]
	return p
}

func TestMatch(t *testing.T) {
	r := mustNew(t,
		Text{Address: "192.0.2.1", Port: "443", Protocol: "tcp", Priority: 1},
		Text{DSCP: "ef", Latency: Low},
		Text{Port: "5000-5999", Direction: "up", Priority: 1},
		Text{Address: "2001:db8::/32", Priority: 2},
		Text{Protocol: "icmp", Latency: Low},
		Text{Protocol: "50", Priority: 2},
	)
	low, first, second, none := Verdict{Lowest, true}, Verdict{Priority: 1}, Verdict{Priority: 2}, Verdict{Priority: Lowest}
	fragment := ip("192.0.2.1", 443, 6, 0)
	fragment[7] = 1
	later6 := append(ip("2001:db9::1", 0, 44, 0)[:40], 17, 0, 0, 8, 0, 0, 0, 1, 0x13, 0x88, 0x13, 0x88)
	first6 := append(ip("2001:db9::1", 0, 44, 0)[:40], 17, 0, 0, 1, 0, 0, 0, 1, 0x13, 0x88, 0x13, 0x88)
	for _, c := range []struct {
		name     string
		p        []byte
		up, down Verdict // down: of the packet turned around
	}{
		{"address, port and protocol", ip("192.0.2.1", 443, 6, 0), first, first},
		{"other protocol", ip("192.0.2.1", 443, 17, 0), none, none},
		{"other port", ip("192.0.2.1", 80, 6, 0), none, none},
		{"other address", ip("192.0.2.2", 443, 6, 0), none, none},
		{"first rule wins", ip("192.0.2.1", 443, 6, 46), first, first},
		{"dscp", ip("192.0.2.9", 1, 17, 46), low, low},
		{"dscp over IPv6", ip("2001:db9::1", 1, 17, 46), low, low},
		{"one direction", ip("192.0.2.9", 5500, 17, 0), first, none},
		{"prefix", ip("2001:db8:1::1", 9, 17, 0), second, second},
		{"ICMP", ip("192.0.2.9", 0, 1, 0), low, low},
		{"ICMPv6", ip("2001:db9::1", 0, 58, 0), low, low},
		{"protocol without ports", ip("192.0.2.9", 5500, 50, 0), second, second},
		{"fragment without ports", fragment, none, none},
		{"later fragment of IPv6", later6, none, none},
		{"first fragment of IPv6", first6, first, none},
		{"short", []byte{0x45}, none, none},
		{"nothing", nil, none, none},
		{"no IP", make([]byte, 40), none, none},
	} {
		if got := r.Match(c.p, Up); got != c.up {
			t.Errorf("%s, up: %v, want %v", c.name, got, c.up)
		}
		if len(c.p) < 40 || c.p[0] == 0 {
			continue
		}
		back := turned(c.p)
		if c.p[6] == 44 && c.p[0]>>4 == 6 {
			continue // ports are elsewhere
		}
		if got := r.Match(back, Down); got != c.down {
			t.Errorf("%s, down: %v, want %v", c.name, got, c.down)
		}
	}
	if hits := r.Hits(); hits[0] == 0 || hits[5] == 0 {
		t.Errorf("hits %v", hits)
	}
}

// TestNoRules: without rules nothing is matched, and only priorities rank.
func TestNoRules(t *testing.T) {
	for _, none := range []*Rules{nil, New(nil)} {
		if none.Match(ip("192.0.2.1", 443, 6, 0), Up).Priority != Lowest || none.Ranks() || none.Len() != 0 {
			t.Error("no rules want something")
		}
	}
	if !mustNew(t, Text{Port: "443", Priority: 1}).Ranks() || mustNew(t, Text{Latency: Low}).Ranks() {
		t.Error("Ranks is wrong")
	}
}

// TestShadowsAreReal: a rule that ParseAll refuses as covered would never have
// been the first to match.
func TestShadowsAreReal(t *testing.T) {
	addresses := []string{"", "192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::1", "::/0"}
	ports := []string{"", "443", "400-500"}
	protocols := []string{"", "tcp", "udp", "icmp", "1"}
	text := rapid.Custom(func(t *rapid.T) Text {
		return Text{
			Address: rapid.SampledFrom(addresses).Draw(t, "address"), Port: rapid.SampledFrom(ports).Draw(t, "port"),
			Protocol: rapid.SampledFrom(protocols).Draw(t, "protocol"), DSCP: rapid.SampledFrom([]string{"", "ef"}).Draw(t, "dscp"),
			Direction: rapid.SampledFrom([]string{"", "up", "down"}).Draw(t, "direction"), Priority: 1,
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var rules []Rule
		for range 3 {
			if r, err := Parse(text.Draw(t, "rule")); err == nil {
				rules = append(rules, r)
			}
		}
		if len(rules) < 2 {
			return
		}
		last := rules[len(rules)-1]
		covered := last.shadowedBy(rules[:len(rules)-1]) != nil
		all := New(rules)
		for _, to := range []string{"192.0.2.1", "192.0.2.7", "198.51.100.1", "2001:db8::1", "2001:db9::1"} {
			for _, port := range []uint16{443, 450, 80} {
				for _, protocol := range []uint8{6, 17, 1, 58, 50} {
					for _, dscp := range []uint8{0, 46} {
						p := ip(to, port, protocol, dscp)
						all.Match(p, Up)
						all.Match(turned(p), Down)
					}
				}
			}
		}
		if hits := all.Hits(); covered && hits[len(hits)-1] > 0 {
			t.Fatalf("%v is called covered by %v, and is not", last, rules)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add(ip("192.0.2.1", 443, 6, 46))
	f.Add(ip("2001:db8::1", 443, 0, 46))
	f.Add([]byte{0x4f})
	r := mustNew(f, Text{Port: "443", Priority: 1}, Text{Protocol: "icmp", Priority: 1}, Text{Address: "::/0", Latency: Low})
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, d := range []Direction{Up, Down} {
			r.Match(p, d)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	p4, p6 := ip("203.0.113.1", 443, 6, 0), ip("2001:db9::1", 443, 6, 0)
	for _, c := range []struct {
		name string
		n    int
		p    []byte
	}{{"1-rule", 1, p4}, {"16-rules", 16, p4}, {"64-rules", 64, p4}, {"64-rules-IPv6", 64, p6}} {
		b.Run(c.name, func(b *testing.B) {
			var texts []Text
			for i := range c.n {
				texts = append(texts, Text{Address: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String(), Port: "443", Priority: 1})
			}
			r := mustNew(b, texts...)
			b.ReportAllocs()
			for b.Loop() {
				r.Match(c.p, Up)
			}
		})
	}
}
