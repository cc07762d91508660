package reseq

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

const flagACK = 0x10

// tcpPacket is a TCP packet of a port over IPv4 or IPv6. Its number stands in
// the fields of the checksum and the urgent pointer.
type tcpPacket struct {
	number uint32
	v6     bool
	port   uint16
	seq    uint32
	size   int
	flags  byte
}

func (p tcpPacket) bytes() []byte {
	ip := make([]byte, 20)
	total := 20 + 20 + p.size
	if p.v6 {
		ip = make([]byte, 40)
		ip[0], ip[6], ip[7] = 0x60, 6, 64
		binary.BigEndian.PutUint16(ip[4:], uint16(total-20))
		ip[23], ip[39] = 1, 2
	} else {
		ip[0], ip[8], ip[9] = 0x45, 64, 6
		binary.BigEndian.PutUint16(ip[2:], uint16(total))
		ip[15], ip[19] = 1, 2
	}
	t := make([]byte, 20+p.size)
	binary.BigEndian.PutUint16(t[0:], p.port)
	binary.BigEndian.PutUint16(t[2:], 443)
	binary.BigEndian.PutUint32(t[4:], p.seq)
	t[12], t[13] = 5<<4, p.flags
	binary.BigEndian.PutUint32(t[16:], p.number)
	return append(ip, t...)
}

func (p tcpPacket) arrival() *Arrival {
	return &Arrival{Header: wire.PacketHeader{Bucket: 1}, Packet: core.Packet{Data: p.bytes()}}
}

// end is the sequence number after p.
func (p tcpPacket) end() uint32 {
	n := p.seq + uint32(p.size)
	if p.flags&flagSYN != 0 {
		n++
	}
	if p.flags&flagFIN != 0 {
		n++
	}
	return n
}

// tcpSink notes the numbers of the TCP packets that are delivered.
type tcpSink struct{ got []uint32 }

func (s *tcpSink) Deliver(p core.Packet, held *packet.Packet) {
	at := 20
	if p.Data[0]>>4 == 6 {
		at = 40
	}
	s.got = append(s.got, binary.BigEndian.Uint32(p.Data[at+16:]))
	if held != nil {
		held.Release()
	}
}

func TestTCP(t *testing.T) {
	const s = 0xffffff00 // so that sequence numbers wrap
	data := func(at, n uint32) tcpPacket {
		return tcpPacket{port: 1, seq: s + at, size: int(n), flags: flagACK}
	}
	with := func(flags byte, p tcpPacket) tcpPacket {
		p.flags = flags
		return p
	}
	of := func(port uint16, p tcpPacket) tcpPacket {
		p.port = port
		return p
	}
	syn := with(flagSYN, data(0, 0))
	for _, c := range []struct {
		name string
		push []tcpPacket
		want []uint32 // numbers from 0, before the timeout
		late []uint32 // after it
	}{
		{"in order", []tcpPacket{syn, data(1, 100), data(101, 400), data(501, 100)}, []uint32{0, 1, 2, 3}, nil},
		{"swapped", []tcpPacket{syn, data(101, 400), data(1, 100), data(501, 100)}, []uint32{0, 2, 1, 3}, nil},
		{"without its SYN", []tcpPacket{data(1, 100), data(201, 100), data(101, 100)}, []uint32{0, 2, 1}, nil},
		{"gap", []tcpPacket{syn, data(101, 100), data(201, 100)}, []uint32{0}, []uint32{1, 2}},
		{"two gaps", []tcpPacket{syn, data(101, 100), data(301, 100)}, []uint32{0}, []uint32{1, 2}},
		{"other streams do not wait", []tcpPacket{syn, data(101, 100), of(2, data(0, 9)), of(2, data(9, 9))}, []uint32{0, 2, 3}, []uint32{1}},
		{"sent again, before what is due", []tcpPacket{syn, data(1, 100), data(1, 100), data(301, 100), data(51, 20)}, []uint32{0, 1, 2, 4}, []uint32{3}},
		{"sent again with more", []tcpPacket{syn, data(1, 100), data(201, 100), data(51, 150)}, []uint32{0, 1, 3, 2}, nil},
		{"sent again while waiting", []tcpPacket{syn, data(101, 100), data(101, 100), data(1, 100)}, []uint32{0, 3, 1, 2}, nil},
		{"a hole filled by sending again", []tcpPacket{syn, data(1, 100), data(201, 100), data(301, 100), data(101, 100)}, []uint32{0, 1, 4, 2, 3}, nil},
		{"late after the timeout", []tcpPacket{syn, data(101, 100)}, []uint32{0}, []uint32{1}},
		{"pure acknowledgements", []tcpPacket{data(0, 0), data(0, 0), data(0, 0)}, []uint32{0, 1, 2}, nil},
		{"one does not overtake data", []tcpPacket{syn, data(101, 0), data(1, 100), data(101, 0)}, []uint32{0, 2, 1, 3}, nil},
		{"an old one passes", []tcpPacket{syn, data(1, 100), data(1, 0), data(301, 100), data(50, 0)}, []uint32{0, 1, 2, 4}, []uint32{3}},
		{"keep-alive", []tcpPacket{syn, data(1, 100), data(100, 0), data(100, 1)}, []uint32{0, 1, 2, 3}, nil},
		{"SYN again", []tcpPacket{syn, syn, data(1, 100), syn, data(101, 9)}, []uint32{0, 1, 2, 3, 4}, nil},
		{"SYN with data", []tcpPacket{with(flagSYN, data(0, 100)), data(101, 100)}, []uint32{0, 1}, nil},
		{"a new connection on the ports", []tcpPacket{syn, data(101, 100), with(flagSYN, data(9000, 0)), data(9001, 5)}, []uint32{0, 1, 2, 3}, nil},
		{"one of which only data is seen", []tcpPacket{syn, data(101, 100), data(1<<31, 100), data(1<<31+100, 100)}, []uint32{0, 1, 2, 3}, nil},
		{"FIN in order", []tcpPacket{syn, with(flagFIN|flagACK, data(101, 10)), data(112, 0), data(1, 100)}, []uint32{0, 3, 1, 2}, nil},
		{"RST after data", []tcpPacket{syn, with(flagRST, data(101, 0)), data(1, 100)}, []uint32{0, 2, 1}, nil},
		{"RST lets go", []tcpPacket{syn, with(flagRST, data(1, 0)), data(101, 0)}, []uint32{0, 1, 2}, nil},
		{"RST with something behind", []tcpPacket{syn, data(301, 9), with(flagRST, data(101, 0)), data(1, 100)}, []uint32{0, 3, 2, 1}, nil},
		{"RST with something held", []tcpPacket{syn, data(301, 9), with(flagRST, data(1, 0))}, []uint32{0, 2, 1}, nil},
		{"RST of nothing", []tcpPacket{with(flagRST, data(1, 0)), data(500, 0), data(400, 10)}, []uint32{0, 1, 2}, nil},
	} {
		for _, v6 := range []bool{false, true} {
			r, e, out := newTCP(), newEnv(), &tcpSink{}
			for i, p := range c.push {
				p.number, p.v6 = uint32(i), v6
				r.Push(e, p.arrival(), out)
			}
			if !slices.Equal(out.got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, out.got, c.want)
			}
			out.got = nil
			for r.NextTimeout() != core.Never {
				e.Now = r.NextTimeout()
				r.HandleTimeout(e, out)
			}
			if !slices.Equal(out.got, c.late) {
				t.Errorf("%s: %v after the timeout, want %v", c.name, out.got, c.late)
			}
			if st := r.Stats(); e.Pool.Live() != 0 || st.HeldBytes != 0 || st.HeldPackets != 0 {
				t.Errorf("%s: %d packets live, stats %+v", c.name, e.Pool.Live(), st)
			}
		}
	}
}

func TestTCPPassesWhatItCannotOrder(t *testing.T) {
	base := tcpPacket{port: 1, seq: 1000, size: 10, flags: flagACK}
	ahead := base
	ahead.seq += 500
	change := func(f func(b []byte)) *Arrival {
		a := ahead.arrival()
		f(a.Packet.Data)
		return a
	}
	lowLatency := ahead.arrival()
	lowLatency.Header.Flags |= wire.LowLatency
	for name, a := range map[string]*Arrival{
		"UDP":              change(func(b []byte) { b[9] = 17 }),
		"fragment":         change(func(b []byte) { b[6] = 0x20 }),
		"wrong length":     change(func(b []byte) { b[3]-- }),
		"header too long":  change(func(b []byte) { b[32] = 0xf0 }),
		"header too short": change(func(b []byte) { b[32] = 0x40 }),
		"low latency":      lowLatency,
	} {
		r, e, out := newTCP(), newEnv(), &tcpSink{}
		r.Push(e, base.arrival(), out)
		r.Push(e, a, out)
		if len(out.got) != 2 || len(r.streams) != 1 {
			t.Errorf("%s: %d of 2 packets passed, %d streams", name, len(out.got), len(r.streams))
		}
	}
}

func TestTCPTableIsBounded(t *testing.T) {
	r, e, out := newTCP(), newEnv(), &tcpSink{}
	const n = maxStreams + 500
	for i := range uint32(n) {
		p := tcpPacket{number: i, port: uint16(i), seq: i, size: 1}
		r.Push(e, p.arrival(), out)
		p.seq += 10 // waits
		r.Push(e, p.arrival(), out)
	}
	if len(r.streams) != maxStreams {
		t.Errorf("%d streams, want %d", len(r.streams), maxStreams)
	}
	if st := r.Stats(); st.HeldPackets != maxStreams || st.Overflow != 500 {
		t.Errorf("%+v, want %d held and 500 let go for want of room", st, maxStreams)
	}
	e.Now = e.Now.Add(streamIdle)
	r.HandleTimeout(e, out)
	if len(r.streams) != 0 || len(out.got) != 2*n || e.Pool.Live() != 0 {
		t.Errorf("%d streams and %d packets left, %d of %d delivered", len(r.streams), e.Pool.Live(), len(out.got), 2*n)
	}
}

func TestTCPWithoutRoom(t *testing.T) {
	for name, limit := range map[string]int{"packets": 2 * MaxHeld, "pool": 3, "empty pool": 0} {
		r, e, out := newTCP(), newEnv(), &tcpSink{}
		e.Pool = packet.NewPool(limit)
		r.Push(e, tcpPacket{port: 1, seq: 0, size: 1}.arrival(), out)
		n := MaxHeld + 100
		for i := range uint32(n) {
			r.Push(e, tcpPacket{number: 1 + i, port: 1, seq: 100 + i, size: 1}.arrival(), out)
			if st := r.Stats(); st.HeldPackets > MaxHeld || st.HeldPackets > limit {
				t.Fatalf("%s: %d packets held", name, st.HeldPackets)
			}
		}
		r.Flush(out)
		if len(out.got) != n+1 || !slices.IsSorted(out.got) || r.Stats().Overflow == 0 || e.Pool.Live() != 0 {
			t.Errorf("%s: %d of %d delivered, %+v, %d live", name, len(out.got), n+1, r.Stats(), e.Pool.Live())
		}
	}
}

// sending is a packet of the property test with its way through the tunnel.
type sending struct {
	tcpPacket
	at core.Time // arrival
}

// drawSendings makes streams whose packets, and some sent again, arrive in
// any order that delays up to most allow.
func drawSendings(t *rapid.T, most time.Duration) (all []sending, lost bool) {
	for port := range uint16(rapid.IntRange(1, 4).Draw(t, "streams")) {
		v6 := rapid.Bool().Draw(t, "v6")
		p := tcpPacket{v6: v6, port: port, seq: rapid.Uint32().Draw(t, "isn"), flags: flagSYN}
		at := core.Time(1e9)
		for i, n := 0, rapid.IntRange(1, 40).Draw(t, "packets"); i <= n; i++ {
			s := sending{p, at}
			if i > 0 { // the SYN says where the stream begins
				s.at = at.Add(time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, "delay")))
			}
			switch rapid.IntRange(0, 15).Draw(t, "fate") {
			case 0:
				lost = lost || s.end() != s.seq
			case 1:
				again := s
				again.at = s.at.Add(time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, "again")))
				all = append(all, s, again)
			default:
				all = append(all, s)
			}
			p.seq, p.flags = p.end(), flagACK
			p.size = rapid.SampledFrom([]int{0, 0, 1, 500, 1300}).Draw(t, "size")
			if i == n-1 {
				p.flags |= rapid.SampledFrom([]byte{0, flagFIN, flagRST}).Draw(t, "last")
			}
			at += core.Time(rapid.Int64Range(0, int64(3*time.Millisecond)).Draw(t, "pause"))
		}
	}
	slices.SortStableFunc(all, func(a, b sending) int { return int(a.at - b.at) })
	for i := range all {
		all[i].number = uint32(i)
	}
	return all, lost
}

// TestTCPProperties: each packet is delivered exactly once; what is due or
// older at once; nothing waits longer than the hold time; and in order where
// nothing was lost.
func TestTCPProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, e, out := newTCP(), newEnv(), &tcpSink{}
		hold := holdTime(e)
		all, lost := drawSendings(t, hold)
		reached := map[uint16]uint32{} // by port: the end of what was delivered
		began := map[uint16]bool{}
		times := map[uint32]int{}
		ended := map[uint16]bool{} // a reset came: what follows begins anew
		note := func() {
			for _, n := range out.got {
				p := all[n]
				times[n]++
				if waited := e.Now.Sub(p.at); waited > hold {
					t.Fatalf("packet %d waited %s, the hold time is %s", n, waited, hold)
				}
				if !began[p.port] || int32(p.end()-reached[p.port]) > 0 {
					began[p.port], reached[p.port] = true, p.end()
				}
				ended[p.port] = ended[p.port] || p.flags&flagRST != 0
			}
			out.got = out.got[:0]
		}
		for i, p := range all {
			for r.NextTimeout() <= p.at {
				e.Now = r.NextTimeout()
				r.HandleTimeout(e, out)
				note()
			}
			e.Now = p.at
			due := !began[p.port] || int32(p.seq-reached[p.port]) <= 0
			r.Push(e, p.arrival(), out)
			if passed := slices.Contains(out.got, uint32(i)); !ended[p.port] && passed != due {
				t.Fatalf("packet %d %+v: passed at once %v, should %v", i, p.tcpPacket, passed, due)
			}
			if !lost && r.Stats().GapsSkipped == 0 {
				checkOrder(t, all, out.got, reached, began)
			}
			note()
		}
		for r.NextTimeout() != core.Never {
			e.Now = r.NextTimeout()
			r.HandleTimeout(e, out)
			note()
		}
		for i := range all {
			if times[uint32(i)] != 1 {
				t.Fatalf("packet %d was delivered %d times", i, times[uint32(i)])
			}
		}
		if e.Pool.Live() != 0 || r.Stats().HeldPackets != 0 {
			t.Fatalf("%d packets live, %+v", e.Pool.Live(), r.Stats())
		}
	})
}

// checkOrder fails when something leaves a gap behind it.
func checkOrder(t *rapid.T, all []sending, got []uint32, reached map[uint16]uint32, began map[uint16]bool) {
	reached = maps.Clone(reached)
	for _, n := range got {
		p := all[n]
		if began[p.port] && int32(p.seq-reached[p.port]) > 0 {
			t.Fatalf("packet %d overtook what is before it", n)
		}
		if !began[p.port] || int32(p.end()-reached[p.port]) > 0 {
			reached[p.port] = p.end()
		}
	}
}

// contentSink counts what is delivered by content.
type contentSink map[string]int

func (s contentSink) Deliver(p core.Packet, held *packet.Packet) {
	s[string(p.Data)]--
	if held != nil {
		held.Release()
	}
}

// FuzzTCP pushes arbitrary packets: each comes out once, whatever it is. The
// input is packets behind a byte that says how long until the next and two of
// length.
func FuzzTCP(f *testing.F) {
	add := func(packets ...tcpPacket) {
		var in []byte
		for _, p := range packets {
			b := p.bytes()
			in = binary.BigEndian.AppendUint16(append(in, 5), uint16(len(b)))
			in = append(in, b...)
		}
		f.Add(in)
	}
	add(tcpPacket{seq: 1, flags: flagSYN}, tcpPacket{seq: 12, size: 10}, tcpPacket{seq: 2, size: 10})
	add(tcpPacket{v6: true, seq: 1, size: 5}, tcpPacket{v6: true, seq: 90, flags: flagRST}, tcpPacket{v6: true, seq: 200, flags: flagFIN})
	f.Fuzz(func(t *testing.T, in []byte) {
		r, e, out := newTCP(), newEnv(), contentSink{}
		e.Pool = packet.NewPool(4)
		for len(in) >= 3 {
			n := min(int(binary.BigEndian.Uint16(in[1:])), len(in)-3)
			data := in[3 : 3+n]
			e.Now = e.Now.Add(time.Duration(in[0]) * time.Millisecond)
			in = in[3+n:]
			out[string(data)]++
			r.Push(e, &Arrival{Packet: core.Packet{Data: data}}, out)
			if r.NextTimeout() <= e.Now {
				r.HandleTimeout(e, out)
			}
		}
		r.Flush(out)
		for data, n := range out {
			if n != 0 {
				t.Errorf("%x: %d times too few", data, n)
			}
		}
		if e.Pool.Live() != 0 || r.NextTimeout() != core.Never {
			t.Errorf("%d packets live, deadline %d", e.Pool.Live(), r.NextTimeout())
		}
	})
}

// nullSink lets go of what it gets.
type nullSink struct{}

func (nullSink) Deliver(_ core.Packet, held *packet.Packet) {
	if held != nil {
		held.Release()
	}
}

// pusher feeds a resequencer a TCP stream in groups of a few packets, in order
// or backwards.
type pusher struct {
	r    Resequencer
	e    *Env
	a    []*Arrival
	next uint32
	back bool
}

func newPusher(name string, group int, back bool) *pusher {
	r, err := New(name)
	if err != nil {
		panic(err)
	}
	p := &pusher{r: r, e: newEnv(), back: back}
	for i := range group {
		a := tcpPacket{port: 7, size: 1300}.arrival()
		a.Link = core.LinkID(i) // each comes by a link of its own: none tells of another's losses
		p.e.Links |= 1 << i
		p.a = append(p.a, a)
	}
	p.push() // the first packet sets the origin: it must be the first
	return p
}

// push gives a group to the resequencer.
func (p *pusher) push() {
	for i := range p.a {
		k := i
		if p.back && p.next > 0 {
			k = len(p.a) - 1 - i
		}
		a, n := p.a[k], p.next+uint32(k)
		a.Header.Sequence, a.Header.BucketSequence = n, uint16(n)
		binary.BigEndian.PutUint32(a.Packet.Data[24:], n*1300)
		p.r.Push(p.e, a, nullSink{})
	}
	p.next += uint32(len(p.a))
	p.e.Now += core.Time(time.Millisecond)
	p.r.HandleTimeout(p.e, nullSink{})
}

func TestPushAllocatesNothing(t *testing.T) {
	for _, name := range Names() {
		for _, back := range []bool{false, true} {
			p := newPusher(name, 8, back)
			p.push()
			if n := testing.AllocsPerRun(1000, p.push); n != 0 {
				t.Errorf("%s, backwards %v: %v allocations for a group of packets", name, back, n)
			}
			if st := p.r.Stats(); st.HeldPackets != 0 || st.GapsSkipped != 0 || back && name != "none" && st.Held == 0 {
				t.Errorf("%s, backwards %v: %+v", name, back, st)
			}
		}
	}
}

// BenchmarkPush is the cost of one packet.
func BenchmarkPush(b *testing.B) {
	for _, name := range Names() {
		for _, back := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/backwards=%v", name, back), func(b *testing.B) {
				p := newPusher(name, 8, back)
				b.ReportAllocs()
				for i := 0; i < b.N; i += len(p.a) {
					p.push()
				}
			})
		}
	}
}
