package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
)

func TestHeaderRoundTrip(t *testing.T) {
	h := Header{Receiver: 0xdeadbeef, Number: 1<<63 + 5}
	d := append(h.Append(nil), make([]byte, TagLen+1)...)
	got, err := ParseHeader(d)
	if err != nil || got != h {
		t.Fatalf("got %+v, %v, want %+v", got, err, h)
	}
}

func TestHeaderErrors(t *testing.T) {
	good := append(Header{}.Append(nil), make([]byte, TagLen+1)...)
	change := func(i int, v byte) []byte {
		d := bytes.Clone(good)
		d[i] = v
		return d
	}
	for _, c := range []struct {
		name string
		d    []byte
		want error
	}{
		{"empty", nil, ErrShort},
		{"one byte", good[:1], ErrShort},
		{"no body", good[:len(good)-1], ErrShort},
		{"other type", change(0, 1), ErrType},
		{"reserved", change(2, 1), ErrReserved},
	} {
		if _, err := ParseHeader(c.d); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestDefaultSizes(t *testing.T) {
	if n := PacketHeaderLen + DefaultMTU; n%128 != 0 {
		t.Errorf("plaintext of a full packet is %d bytes, not a multiple of 128", n)
	}
	if n := 40 + Overhead + DefaultMTU; n > 1500 {
		t.Errorf("outer IPv6 packet of %d bytes", n)
	}
	if n := 40 + Overhead + RepairLen + MaxMTU; n > 1500 {
		t.Errorf("outer IPv6 packet of a repair of %d bytes", n)
	}
}

func TestPacketHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := PacketHeader{
			Part:           Part(rapid.Uint8Range(1, 3).Draw(t, "part")),
			Flags:          Flags(rapid.Uint8Range(0, 15).Draw(t, "flags")),
			Bucket:         rapid.Uint8().Draw(t, "bucket"),
			BucketSequence: rapid.Uint16().Draw(t, "bucket sequence"),
			Sequence:       rapid.Uint32().Draw(t, "sequence"),
		}
		if h.Flags&Repaired != 0 {
			h.LostLink = core.LinkID(rapid.Uint8Range(0, core.MaxLinks-1).Draw(t, "link"))
			h.LostNumber = rapid.Uint64Max(1<<56-1).Draw(t, "number")
		}
		data := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "data")
		got, rest, err := ParsePacket(append(h.Append(nil), data...))
		if err != nil || got != h || !bytes.Equal(rest, data) {
			t.Fatalf("got %+v %x %v, want %+v %x", got, rest, err, h, data)
		}
	})
}

// recorder notes the frames of a body.
type recorder struct {
	pings      int
	acks       []Ack
	challenges [][8]byte
	responses  [][8]byte
	delays     []Delays
}

func (r *recorder) HandlePing() { r.pings++ }
func (r *recorder) HandleAck(a *Ack) {
	c := *a
	c.Ranges = append([]Range(nil), a.Ranges...)
	c.Arrivals = append([]Arrival(nil), a.Arrivals...)
	r.acks = append(r.acks, c)
}
func (r *recorder) HandlePathChallenge(t [8]byte) { r.challenges = append(r.challenges, t) }
func (r *recorder) HandlePathResponse(t [8]byte)  { r.responses = append(r.responses, t) }
func (r *recorder) HandleDelays(d Delays)         { r.delays = append(r.delays, d) }

// drawAck draws an acknowledgement as a receiver could make it.
func drawAck(t *rapid.T) Ack {
	a := Ack{
		Link:  core.LinkID(rapid.Uint8Range(0, core.MaxLinks-1).Draw(t, "link")),
		Delay: time.Duration(rapid.Int64Range(0, 1e6).Draw(t, "delay")) * time.Microsecond,
	}
	low := rapid.Uint64Range(1<<20, 1<<40).Draw(t, "highest")
	for i := range rapid.IntRange(1, MaxRanges).Draw(t, "ranges") {
		if i > 0 {
			low -= 2 + rapid.Uint64Max(1000).Draw(t, "gap")
		}
		n := rapid.Uint64Max(1000).Draw(t, "length")
		a.Ranges = append(a.Ranges, Range{First: low - n, Last: low})
		low -= n
	}
	number, at := a.Ranges[0].Last, core.Time(rapid.Int64Range(1e9, 1e15).Draw(t, "at"))*1000
	for i := range rapid.IntRange(1, MaxArrivals).Draw(t, "arrivals") {
		if i > 0 {
			number -= rapid.Uint64Range(1, 50).Draw(t, "back")
			at -= core.Time(rapid.Int64Range(0, 1e6).Draw(t, "us")) * 1000
		}
		a.Arrivals = append(a.Arrivals, Arrival{Number: number, At: at})
	}
	return a
}

func TestFramesRoundTrip(t *testing.T) {
	var p FrameParser
	rapid.Check(t, func(t *rapid.T) {
		var want recorder
		b := AppendFrames(nil)
		for range rapid.IntRange(0, 6).Draw(t, "frames") {
			switch rapid.IntRange(0, 5).Draw(t, "type") {
			case 0:
				b = append(b, framePadding)
			case 1:
				b = AppendPing(b)
				want.pings++
			case 2:
				a := drawAck(t)
				b = AppendAck(b, &a)
				want.acks = append(want.acks, a)
			case 3:
				b = AppendPathChallenge(b, [8]byte{1, 2, 3})
				want.challenges = append(want.challenges, [8]byte{1, 2, 3})
			case 4:
				b = AppendPathResponse(b, [8]byte{4, 5, 6})
				want.responses = append(want.responses, [8]byte{4, 5, 6})
			case 5:
				d := Delays{Spread: 3 * time.Millisecond, Jitter: time.Microsecond, Repair: time.Second, Backlog: time.Minute}
				b = AppendDelays(b, d)
				want.delays = append(want.delays, d)
			}
		}
		var got recorder
		if err := p.Parse(b, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func TestMalformedFrames(t *testing.T) {
	var p FrameParser
	big := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}
	for name, b := range map[string][]byte{
		"not frames":         {byte(KindPacket)},
		"unknown type":       {byte(KindFrames), 0x3f},
		"short challenge":    {byte(KindFrames), framePathChallenge, 1, 2, 3},
		"ack cut":            {byte(KindFrames), frameAck, 0, 5},
		"ack of link 16":     {byte(KindFrames), frameAck, 16, 0, 0, 0, 0, 0, 0},
		"arrival before 0":   {byte(KindFrames), frameAck, 0, 0, 9, 3, 1, 4, 0, 0, 0},
		"range before 0":     {byte(KindFrames), frameAck, 0, 0, 9, 3, 0, 0, 4},
		"gap before 0":       {byte(KindFrames), frameAck, 0, 0, 9, 3, 0, 1, 1, 3, 0},
		"too many arrivals":  {byte(KindFrames), frameAck, 0, 0, 9, 3, MaxArrivals, 0},
		"too many ranges":    {byte(KindFrames), frameAck, 0, 0, 9, 3, 0, MaxRanges, 0},
		"delay of centuries": append([]byte{byte(KindFrames), frameDelays}, big...),
	} {
		if err := p.Parse(b, &recorder{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestIsReport(t *testing.T) {
	a := Ack{Ranges: []Range{{1, 1}}, Arrivals: []Arrival{{1, 1}}}
	for _, c := range []struct {
		name string
		body []byte
		want bool
	}{
		{"ack", AppendAck(AppendFrames(nil), &a), true},
		{"delays", AppendDelays(AppendFrames(nil), Delays{}), true},
		{"ping", AppendPing(AppendFrames(nil)), false},
		{"empty", AppendFrames(nil), false},
	} {
		if got := IsReport(c.body); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	a := Ack{Ranges: []Range{{9, 12}, {1, 5}}, Arrivals: []Arrival{{12, 5000}, {11, 3000}}}
	b := AppendDelays(AppendAck(AppendFrames(nil), &a), Delays{Spread: 1000})
	var p FrameParser
	var h Handler = nothing{}
	if n := testing.AllocsPerRun(100, func() { _ = p.Parse(b, h) }); n > 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

type nothing struct{}

func (nothing) HandlePing()                 {}
func (nothing) HandleAck(*Ack)              {}
func (nothing) HandlePathChallenge([8]byte) {}
func (nothing) HandlePathResponse([8]byte)  {}
func (nothing) HandleDelays(Delays)         {}

// checker fails on acknowledgements that break what their type promises.
type checker struct {
	nothing
	t *testing.T
}

func (c checker) HandleAck(a *Ack) {
	if len(a.Ranges) == 0 || len(a.Arrivals) == 0 || a.Arrivals[0].Number != a.Ranges[0].Last {
		c.t.Fatalf("%+v", a)
	}
	for i, r := range a.Ranges {
		if r.First > r.Last || i > 0 && r.Last+1 >= a.Ranges[i-1].First {
			c.t.Fatalf("ranges %+v", a.Ranges)
		}
	}
	for i := 1; i < len(a.Arrivals); i++ {
		if a.Arrivals[i].Number > a.Arrivals[i-1].Number || a.Arrivals[i].At > a.Arrivals[i-1].At {
			c.t.Fatalf("arrivals %+v", a.Arrivals)
		}
	}
}

func FuzzFrames(f *testing.F) {
	a := Ack{Ranges: []Range{{9, 12}, {1, 5}}, Arrivals: []Arrival{{12, 5000}, {11, 3000}}}
	f.Add(AppendDelays(AppendAck(AppendFrames(nil), &a), Delays{Spread: 1000}))
	f.Add(AppendPathResponse(AppendPing(AppendFrames(nil)), [8]byte{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p FrameParser
		_ = p.Parse(b, checker{t: t})
	})
}

func FuzzDatagram(f *testing.F) {
	f.Add(append(Header{Receiver: 1, Number: 2}.Append(nil), make([]byte, 30)...))
	f.Add(append(PacketHeader{Flags: Repaired}.Append(nil), 1))
	f.Add(append(PacketHeader{Part: FirstHalf, Sequence: 7}.Append(nil), 1))
	f.Add(append(PacketHeader{Part: SecondHalf, Flags: Repaired, LostLink: 3}.Append(nil), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ParseHeader(b)
		if h, rest, err := ParsePacket(b); err == nil {
			if again := append(h.Append(nil), rest...); !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
		_, _ = BodyKind(b)
	})
}

// TestHalvesMakeAPacket: the halves of any packet are the packet, and differ in
// length by one at most.
func TestHalvesMakeAPacket(t *testing.T) {
	for n := 2; n <= MaxMTU; n++ {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(i * 7)
		}
		first, second := FirstHalf.Of(p), SecondHalf.Of(p)
		if d := len(first) - len(second); d < 0 || d > 1 || !bytes.Equal(append(bytes.Clone(first), second...), p) {
			t.Fatalf("%d bytes: halves of %d and %d", n, len(first), len(second))
		}
		if len(Whole.Of(p)) != n {
			t.Fatalf("%d bytes: whole of %d", n, len(Whole.Of(p)))
		}
	}
}
