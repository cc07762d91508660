package qos

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/classify"
	"github.com/multilink-vpn/multilink/core/gso"
)

// segmentOf makes a TCP packet with a right checksum.
func segmentOf(v6 bool, flags byte, window uint16, options []byte, payload int) []byte {
	to := "192.0.2.1"
	if v6 {
		to = "2001:db8::1"
	}
	p := ip(to, 443, 6, 0)
	at := len(p) - 20
	p[at+12], p[at+13] = byte(5+len(options)/4)<<4, flags
	binary.BigEndian.PutUint16(p[at+14:], window)
	p = append(p, options...)
	p = append(p, make([]byte, payload)...)
	if v6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	} else {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	}
	binary.BigEndian.PutUint16(p[at+16:], ^sumOf(p))
	return p
}

// sumOf adds a TCP packet with its pseudo-header in one's complement: 0xffff when
// the checksum in it is right.
func sumOf(p []byte) uint16 {
	at, addresses := 20, p[12:20]
	if p[0]>>4 == 6 {
		at, addresses = 40, p[8:40]
	}
	sum := uint32(6) + uint32(len(p)-at)
	for _, b := range [][]byte{addresses, p[at:]} {
		for i, v := range b {
			sum += uint32(v) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func windowOf(p []byte) uint16 {
	at := 20
	if p[0]>>4 == 6 {
		at = 40
	}
	return binary.BigEndian.Uint16(p[at+14:])
}

var scale7 = []byte{optionNop, optionScale, scaleLen, 7}

// download is a TCP flow of the lowest priority, and one of the highest beside it,
// through a link of 400 kB/s on which both want all there is.
type download struct {
	s    Shaper
	now  core.Time
	low  float64 // share of the last step
	high bool
}

// step lets 10 ms pass: the low flow sends a window per 50 ms, and at most half
// of the link beside the other.
func (d *download) step(t *testing.T) {
	const link, round = 400e3, 0.05
	ack := segmentOf(false, flagACK, 0xffff, nil, 0)
	flow := classify.Flow(ack)
	d.s.Sent(d.now, ack, false, flow)
	if sumOf(ack) != 0xffff {
		t.Fatal("the checksum is wrong")
	}
	if windowOf(ack) == 0 {
		t.Fatal("the window is zero")
	}
	most := 1.0
	if d.high {
		most = 0.5
	}
	d.low = min(float64(int(windowOf(ack))<<7)/round/link, most)
	d.s.Received(d.now, segmentOf(false, flagACK, 100, nil, int(d.low*link*0.01)), flow, Lowest)
	if d.high {
		d.s.Received(d.now, segmentOf(true, flagACK, 100, nil, int((1-d.low)*link*0.01)), 1, Highest)
	}
	d.s.Backlog(d.now, 30*time.Millisecond)
	d.now = d.now.Add(10 * time.Millisecond)
}

// TestShaperShares: while a flow of higher priority is active the low one falls
// to its share and no further, and has all again 2 s after that has ended.
func TestShaperShares(t *testing.T) {
	d := &download{now: core.Time(time.Hour)}
	syn := segmentOf(false, flagSYN, 0xffff, scale7, 0)
	flow := classify.Flow(syn)
	d.s.Sent(d.now, syn, false, flow)
	d.s.Received(d.now, segmentOf(false, flagSYN|flagACK, 0xffff, scale7, 0), flow, Lowest)
	run := func(seconds int) (least, most float64) {
		least = 1
		for range seconds * 100 {
			d.step(t)
			least, most = min(least, d.low), max(most, d.low)
		}
		return least, most
	}
	if least, _ := run(2); least != 1 {
		t.Errorf("alone it fell to %.2f", least)
	}
	d.high = true
	run(3)
	least, most := run(3)
	t.Logf("beside a higher priority %.3f..%.3f", least, most)
	if least < 0.05 || most > 0.2 {
		t.Errorf("beside a higher priority it has %.3f..%.3f of the link, want 0.1", least, most)
	}
	d.high = false
	run(2)
	if least, _ := run(1); least != 1 {
		t.Errorf("2 s after the other has ended it has %.2f", least)
	}
	if d.s.Lowered() == 0 {
		t.Error("nothing was counted")
	}
}

// shaping returns a shaper that lowers the windows of a flow to limit bytes, of
// which own and peer are the options of the SYNs.
func shaping(v6 bool, own, peer []byte, limit float64) (*Shaper, uint32) {
	s := &Shaper{ticked: core.Time(time.Hour)}
	syn := segmentOf(v6, flagSYN, 0xffff, own, 0)
	flow := classify.Flow(syn)
	s.Sent(s.ticked, syn, false, flow)
	s.Received(s.ticked, segmentOf(v6, flagSYN|flagACK, 0xffff, peer, 0), flow, Lowest)
	s.flows.find(flow).limit = limit
	return s, flow
}

func TestShaperWindow(t *testing.T) {
	twice := append(append([]byte(nil), scale7...), scale7...)
	for _, c := range []struct {
		name      string
		own, peer []byte
		flags     byte
		limit     float64
		old, want uint16
	}{
		{"scaled", scale7, scale7, flagACK, 1280, 500, 10},
		{"rounded up", scale7, scale7, flagACK, 1281, 500, 11},
		{"never zero", scale7, scale7, flagACK, 1, 500, 1},
		{"a zero window stays", scale7, scale7, flagACK, 1280, 0, 0},
		{"never grown", scale7, scale7, flagACK, 1280, 9, 9},
		{"no scale at the peer", scale7, nil, flagACK, 1280, 5000, 1280},
		{"no scale here", nil, scale7, flagACK, 1280, 5000, 1280},
		{"no limit", scale7, scale7, flagACK, 0, 500, 500},
		{"SYN", scale7, scale7, flagSYN, 1280, 500, 500},
		{"no ACK", scale7, scale7, 0x04, 1280, 500, 500},
		{"scale twice", twice, scale7, flagACK, 1280, 500, 500},
		{"scale too large", []byte{1, 3, 3, 15}, scale7, flagACK, 1280, 500, 500},
		{"option of length 0", []byte{8, 0, 1, 1}, scale7, flagACK, 1280, 500, 500},
		{"option of length 1", []byte{8, 1, 1, 1}, scale7, flagACK, 1280, 500, 500},
		{"option past the end", []byte{1, 1, 3, 3}, scale7, flagACK, 1280, 500, 500},
	} {
		for _, v6 := range []bool{false, true} {
			s, flow := shaping(v6, c.own, c.peer, c.limit)
			p := segmentOf(v6, c.flags, c.old, nil, 33)
			before := append([]byte(nil), p...)
			s.Sent(s.ticked, p, false, flow)
			if got := windowOf(p); got != c.want || sumOf(p) != 0xffff {
				t.Errorf("%s, IPv6 %v: window %d, want %d; sum %04x", c.name, v6, got, c.want, sumOf(p))
			}
			binary.BigEndian.PutUint16(before[len(p)-33-20+14:], c.want)
			copy(before[len(p)-33-20+16:], p[len(p)-33-20+16:][:2])
			if !bytes.Equal(p, before) {
				t.Errorf("%s: something else was changed", c.name)
			}
		}
	}
	// The checksum of a partial packet does not cover the window.
	s, flow := shaping(false, scale7, scale7, 1280)
	p := segmentOf(false, flagACK, 500, nil, 0)
	sum := binary.BigEndian.Uint16(p[36:])
	if s.Sent(s.ticked, p, true, flow); windowOf(p) != 10 || binary.BigEndian.Uint16(p[36:]) != sum {
		t.Errorf("partial: window %d, checksum changed from %04x to %04x", windowOf(p), sum, binary.BigEndian.Uint16(p[36:]))
	}
	// A flow whose beginning was not seen, and a fragment.
	if s.Sent(s.ticked, p, false, flow+1); windowOf(p) != 10 {
		t.Error("an unknown flow was changed")
	}
	p = segmentOf(false, flagACK, 500, nil, 0)
	p[6] = 0x20
	if s.Sent(s.ticked, p, false, flow); windowOf(p) != 500 {
		t.Error("a fragment was changed")
	}
}

func TestFlowTableIsBounded(t *testing.T) {
	s := &Shaper{}
	syn := segmentOf(false, flagSYN, 0xffff, scale7, 0)
	for flow := range uint32(10 * flowSets * flowWays) {
		s.Sent(core.Time(time.Hour)+core.Time(flow), syn, false, flow)
	}
	n := 0
	s.flows.each(func(*tcpFlow) { n++ })
	if n != flowSets*flowWays || s.flows.find(10*flowSets*flowWays-1) == nil || s.flows.find(0) != nil {
		t.Errorf("%d flows", n)
	}
}

// FuzzShaper: whatever a packet is, only its window and checksum are changed, the
// window becomes no larger and no zero, and a right checksum stays right.
func FuzzShaper(f *testing.F) {
	f.Add(segmentOf(false, flagACK, 500, nil, 10), true)
	f.Add(segmentOf(true, flagACK, 500, scale7, 10), false)
	f.Add(segmentOf(false, flagSYN, 500, []byte{3, 3, 3, 3}, 0), true)
	f.Fuzz(func(t *testing.T, p []byte, down bool) {
		if len(p) > 1500 || !classify.Valid(p) {
			return
		}
		flow := classify.Flow(p)
		s := &Shaper{ticked: core.Time(time.Hour)}
		s.Received(s.ticked, p, flow, Lowest)
		if down {
			s.flows.open(flow, s.ticked)
		}
		if entry := s.flows.find(flow); entry != nil {
			entry.own, entry.peer, entry.limit = windowScale{valid: true}, windowScale{valid: true}, 100
		}
		before := append([]byte(nil), p...)
		s.Sent(s.ticked, p, false, flow)
		if bytes.Equal(p, before) {
			return
		}
		h, err := gso.ParseHeaders(before)
		if err != nil {
			t.Fatal("a packet that cannot be parsed was changed")
		}
		at := h.Transport + 14
		was, is := binary.BigEndian.Uint16(before[at:]), binary.BigEndian.Uint16(p[at:])
		if is >= was || is == 0 {
			t.Fatalf("window %d became %d", was, is)
		}
		if h.Transport == 20 || h.V6 {
			if a, b := sumOf(before), sumOf(p); a == 0xffff && b != 0xffff {
				t.Fatalf("sum %04x became %04x", a, b)
			}
		}
		copy(p[at:at+4], before[at:])
		if !bytes.Equal(p, before) {
			t.Fatal("something else was changed")
		}
	})
}

func BenchmarkShaper(b *testing.B) {
	s, flow := shaping(false, scale7, scale7, 1280)
	p := segmentOf(false, flagACK, 500, nil, 0)
	b.ReportAllocs()
	for b.Loop() {
		binary.BigEndian.PutUint16(p[34:], 500)
		s.Sent(s.ticked, p, false, flow)
	}
}
