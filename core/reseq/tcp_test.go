package reseq

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

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

// origin is where the streams of the tests begin: so that their numbers wrap.
const origin = 0xffffff00

func data(at, n uint32) tcpPacket {
	return tcpPacket{port: 1, seq: origin + at, size: int(n), flags: flagACK}
}

func with(flags byte, p tcpPacket) tcpPacket {
	p.flags = flags
	return p
}

func of(port uint16, p tcpPacket) tcpPacket {
	p.port = port
	return p
}

var syn = with(flagSYN, data(0, 0))

// pushing is packets in the order in which they come, and the order in which their
// numbers, from 0, are delivered: before the timeout and after it.
type pushing struct {
	name       string
	push       []tcpPacket
	want, late []uint32
}

func checkPushes(t *testing.T, tests []pushing) {
	t.Helper()
	for _, c := range tests {
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

func TestTCPData(t *testing.T) {
	checkPushes(t, []pushing{
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
	})
}

func TestTCPControl(t *testing.T) {
	checkPushes(t, []pushing{
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
	})
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
