package classify

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

var (
	here4  = netip.MustParseAddrPort("10.8.0.2:40000")
	there4 = netip.MustParseAddrPort("198.18.0.1:30000")
	here6  = netip.MustParseAddrPort("[fd00::2]:40000")
	there6 = netip.MustParseAddrPort("[fd00::1]:30000")
)

// udpPacket is an inner packet of a payload.
func udpPacket(from, to netip.AddrPort, payload []byte) core.Packet {
	udp := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	return core.Packet{Data: ipPacket(from.Addr(), to.Addr(), gso.ProtocolUDP, append(udp, payload...))}
}

func ipPacket(from, to netip.Addr, protocol uint8, body []byte) []byte {
	if from.Is6() {
		p := make([]byte, 40, 40+len(body))
		p[0], p[6], p[7] = 0x60, protocol, 64
		binary.BigEndian.PutUint16(p[4:], uint16(len(body)))
		copy(p[8:], from.AsSlice())
		copy(p[24:], to.AsSlice())
		return append(p, body...)
	}
	p := make([]byte, 20, 20+len(body))
	p[0], p[8], p[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(p[2:], uint16(20+len(body)))
	copy(p[12:], from.AsSlice())
	copy(p[16:], to.AsSlice())
	return append(p, body...)
}

// media is an RTP packet.
func media(payloadType byte, sequence uint16, timestamp, ssrc uint32, size int) []byte {
	b := make([]byte, 12+size)
	b[0], b[1] = 0x80, payloadType
	binary.BigEndian.PutUint16(b[2:], sequence)
	binary.BigEndian.PutUint32(b[4:], timestamp)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return b
}

// stream feeds a table with one direction of a flow.
type stream struct {
	t    *testing.T
	tab  *Table
	now  core.Time
	from netip.AddrPort
	to   netip.AddrPort
	peer bool
}

func newStream(t *testing.T, name string) *stream {
	tab, err := NewTable(name, Limits{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return &stream{t: t, tab: tab, now: core.Time(time.Hour), from: here4, to: there4}
}

func (s *stream) send(payload []byte) State {
	s.t.Helper()
	return s.tab.Packet(s.now, udpPacket(s.from, s.to, payload), s.peer).State
}

// reversed is the other direction of the flow.
func (s *stream) reversed() *stream {
	r := *s
	r.from, r.to, r.peer = s.to, s.from, !s.peer
	return &r
}

// firsts returns after how many packets a stream was provisional and confirmed,
// of n; 0: never.
func (s *stream) firsts(n int, every time.Duration, packet func(i int) []byte) (provisional, confirmed int) {
	for i := range n {
		st := s.send(packet(i))
		if st >= Provisional && provisional == 0 {
			provisional = i + 1
		}
		if st == Confirmed && confirmed == 0 {
			confirmed = i + 1
		}
		s.now = s.now.Add(every)
	}
	return provisional, confirmed
}

func TestRTP(t *testing.T) {
	counter := func(i int) uint32 { return uint32(i) }
	for _, c := range []struct {
		name        string
		every       time.Duration
		packet      func(i int) []byte
		provisional int
		confirmed   int
	}{
		{"PCMU", 20 * time.Millisecond, func(i int) []byte { return media(0, uint16(i), counter(i)*160, 7, 160) }, 5, 10},
		{"Opus", 20 * time.Millisecond, func(i int) []byte { return media(111, uint16(i), counter(i)*960, 7, 80) }, 5, 10},
		{"Opus in a burst", 0, func(i int) []byte { return media(111, uint16(i), counter(i)*960, 7, 80) }, 5, 10},
		{"sequence and timestamp wrap", 20 * time.Millisecond, func(i int) []byte {
			return media(8, uint16(65533+i), 1<<32-300+counter(i)*160, 7, 160)
		}, 5, 10},
		{"large first picture", time.Millisecond, func(i int) []byte { return media(96, uint16(i), 5, 7, 1200) }, 5, 0},
		{"TURN", 20 * time.Millisecond, func(i int) []byte {
			return append([]byte{0x40, 0, 0, 92}, media(111, uint16(i), counter(i)*960, 7, 80)...)
		}, 5, 10},
		{"every third packet lost", 30 * time.Millisecond, func(i int) []byte {
			return media(0, uint16(i*3/2), counter(i*3/2)*160, 7, 160)
		}, 5, 10},
		{"counter and id", 20 * time.Millisecond, func(i int) []byte { return media(0, uint16(i), 0, 7, 160) }, 0, 0},
		{"counter and milliseconds", 20 * time.Millisecond, func(i int) []byte { return media(96, uint16(i), counter(i)*20, 7, 60) }, 0, 0},
		{"counter and microseconds", 20 * time.Millisecond, func(i int) []byte { return media(96, uint16(i), counter(i)*20000, 7, 60) }, 0, 0},
		{"counter and ticks", 16 * time.Millisecond, func(i int) []byte { return media(96, uint16(i), counter(i), 7, 60) }, 0, 0},
		{"changing source", 20 * time.Millisecond, func(i int) []byte { return media(0, uint16(i), counter(i)*160, counter(i), 160) }, 0, 0},
		{"jumping sequence", 20 * time.Millisecond, func(i int) []byte { return media(0, uint16(i*100), counter(i)*160, 7, 160) }, 0, 0},
		{"standing sequence", 20 * time.Millisecond, func(i int) []byte { return media(0, 0, counter(i)*160, 7, 160) }, 0, 0},
		{"reserved payload type", 20 * time.Millisecond, func(i int) []byte { return media(50, uint16(i), counter(i)*160, 7, 160) }, 0, 0},
		{"other version", 20 * time.Millisecond, func(i int) []byte {
			b := media(0, uint16(i), counter(i)*160, 7, 160)
			b[0] = 0x40
			return b
		}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStream(t, "rtp")
			provisional, confirmed := s.firsts(40, c.every, c.packet)
			if provisional != c.provisional || c.confirmed > 0 && confirmed != c.confirmed {
				t.Errorf("provisional at %d, confirmed at %d, want %d and %d", provisional, confirmed, c.provisional, c.confirmed)
			}
		})
	}
}

func opus(i int) []byte { return media(111, uint16(i), uint32(i)*960, 7, 80) }

func TestEvidence(t *testing.T) {
	stun := make([]byte, 20)
	binary.BigEndian.PutUint32(stun[4:], stunCookie)
	dtls := append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 1)
	for _, c := range []struct {
		name   string
		before func(s *stream)
	}{
		{"STUN", func(s *stream) { s.send(stun) }},
		{"DTLS", func(s *stream) { s.send(dtls) }},
		{"STUN from the peer", func(s *stream) { s.reversed().send(stun) }},
		{"call in the other direction", func(s *stream) { s.reversed().firsts(10, 20*time.Millisecond, opus) }},
	} {
		s := newStream(t, "rtp")
		c.before(s)
		if provisional, confirmed := s.firsts(20, 20*time.Millisecond, opus); provisional != 3 || confirmed != 10 {
			t.Errorf("after %s: provisional at %d, confirmed at %d, want 3 and 10", c.name, provisional, confirmed)
		}
	}
}

// report is an RTCP sender report of a source.
func report(ssrc uint32) []byte {
	b := make([]byte, 28)
	b[0], b[1], b[3] = 0x80, 200, 6
	binary.BigEndian.PutUint32(b[4:], ssrc)
	return b
}

func TestRTCP(t *testing.T) {
	s := newStream(t, "rtp")
	s.firsts(12, 20*time.Millisecond, opus)
	if got := s.send(report(7)); got != Confirmed {
		t.Errorf("RTCP on the ports of the call: %v", got)
	}
	beside := *s
	beside.from = netip.AddrPortFrom(s.from.Addr(), s.from.Port()+1)
	beside.to = netip.AddrPortFrom(s.to.Addr(), s.to.Port()+1)
	if got := beside.send(report(7)); got != Confirmed {
		t.Errorf("RTCP on the ports above the call: %v", got)
	}
	if got := newStream(t, "rtp").send(report(7)); got != Other {
		t.Errorf("RTCP alone: %v", got)
	}
}

func TestRevocation(t *testing.T) {
	s := newStream(t, "rtp")
	s.firsts(12, 20*time.Millisecond, opus)
	noise := []byte("GET / HTTP/1.1")
	for i, want := range []State{Confirmed, Confirmed, Other} {
		if got := s.send(noise); got != want {
			t.Errorf("after %d packets that are no RTP: %v, want %v", i+1, got, want)
		}
	}
	if st := s.tab.Stats(); st.Confirmed != 1 || st.Revoked != 1 {
		t.Errorf("counted %+v", st)
	}
	// It takes twice as much the second time.
	provisional, _ := s.firsts(40, 20*time.Millisecond, func(i int) []byte { return media(111, uint16(i+100), uint32(i+100)*960, 8, 80) })
	if provisional != 10 {
		t.Errorf("provisional again at %d, want 10", provisional)
	}
}

func TestFailuresFadeAway(t *testing.T) {
	s := newStream(t, "rtp")
	s.firsts(12, 20*time.Millisecond, opus)
	for i := 12; i < 400; i++ {
		if i%15 == 0 {
			s.send([]byte("something else"))
		}
		if st := s.send(opus(i)); st != Confirmed {
			t.Fatalf("packet %d: %v", i, st)
		}
		s.now = s.now.Add(20 * time.Millisecond)
	}
}

func TestWrongClockIsFoundOut(t *testing.T) {
	s := newStream(t, "rtp")
	// Frames of 160 every 60 ms: 2.7 kHz.
	s.firsts(200, 60*time.Millisecond, func(i int) []byte { return media(97, uint16(i), uint32(i)*160, 7, 160) })
	if info := s.tab.Flows(s.now); info[0].State != Other {
		t.Errorf("still %v: %s", info[0].State, info[0].Sent.Why)
	}
}

func TestEventsOfAPhone(t *testing.T) {
	s := newStream(t, "rtp")
	s.firsts(12, 20*time.Millisecond, opus)
	for i := range 50 { // a key pressed for a second
		if st := s.send(media(101, uint16(12+i), 12*960, 7, 4)); st != Confirmed {
			t.Fatalf("event %d: %v", i, st)
		}
		s.now = s.now.Add(20 * time.Millisecond)
	}
}

func TestSilenceAndOutage(t *testing.T) {
	s := newStream(t, "rtp")
	s.firsts(100, 20*time.Millisecond, opus)
	s.now = s.now.Add(10 * time.Second)
	for i := 600; i < 1000; i++ {
		if st := s.send(opus(i)); st != Confirmed {
			t.Fatalf("packet %d after a silence: %v", i, st)
		}
		s.now = s.now.Add(20 * time.Millisecond)
	}
}

func TestLowPorts(t *testing.T) {
	s := newStream(t, "rtp")
	s.to = netip.AddrPortFrom(s.to.Addr(), 53)
	if p, _ := s.firsts(40, 20*time.Millisecond, opus); p != 0 {
		t.Errorf("provisional at %d on port 53", p)
	}
}

func TestBasicRule(t *testing.T) {
	s := newStream(t, "rtp-basic")
	if s.send(opus(0)) != Confirmed || s.send([]byte("x")) != Confirmed || s.send([]byte("x")) != Other {
		t.Error("half of the packets decide")
	}
	if s.send(opus(1)) != Confirmed {
		t.Error("two of four are half")
	}
	static := newStream(t, "rtp-basic")
	if static.send(media(0, 1, 160, 7, 160)) != Other {
		t.Error("a static payload type passed")
	}
}
