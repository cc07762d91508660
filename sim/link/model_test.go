package link

import (
	"bytes"
	"math"
	"reflect"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// drain pops everything the model holds, each packet at the time Next tells.
func drain(t testing.TB, m *Model) []Packet {
	t.Helper()
	var out []Packet
	before := int64(math.MinInt64)
	for {
		at, ok := m.Next()
		if !ok {
			return out
		}
		if at < before {
			t.Fatalf("Next goes back from %d to %d", before, at)
		}
		before = at
		for {
			p, ok := m.Pop(at)
			if !ok {
				break
			}
			if p.At > at {
				t.Fatalf("packet of %d popped at %d", p.At, at)
			}
			out = append(out, p)
		}
	}
}

// send enqueues count packets of size bytes, gap apart, and drains as it goes.
func send(t testing.TB, m *Model, count, size int, gap int64) []Packet {
	t.Helper()
	var out []Packet
	for i := range count {
		now := int64(i) * gap
		for {
			p, ok := m.Pop(now)
			if !ok {
				break
			}
			out = append(out, p)
		}
		m.Enqueue(now, Packet{Size: size, Tag: i})
	}
	return append(out, drain(t, m)...)
}

func TestTransparent(t *testing.T) {
	m := New(Config{}, 1)
	if v := m.Enqueue(5, Packet{Size: 100, Tag: "x"}); v != Accepted {
		t.Fatalf("verdict %v", v)
	}
	if at, ok := m.Next(); !ok || at != 5 {
		t.Fatalf("Next = %d, %v", at, ok)
	}
	if p, ok := m.Pop(5); !ok || p.Tag != "x" || p.At != 5 {
		t.Fatalf("Pop = %+v, %v", p, ok)
	}
	if _, ok := m.Next(); ok {
		t.Fatal("an empty model has a next time")
	}
}

func TestRateIsExact(t *testing.T) {
	for _, rate := range []float64{1e6, 6.21e6, 50e6, 300e6, 1e9, 33333333.333} {
		m := New(Config{Rate: rate}, 1)
		const count = 10000
		for range count {
			m.Enqueue(0, Packet{Size: 1500})
		}
		out := drain(t, m)
		want := int64(math.Floor(count * 1500 * 8 * 1e9 / rate))
		if got := out[count-1].At; got-want > 1 || want-got > 1 {
			t.Errorf("rate %g: the last of %d packets leaves at %d ns, want %d", rate, count, got, want)
		}
	}
}

func TestDelayFollowsService(t *testing.T) {
	m := New(Config{Rate: 12e6, Delay: 10 * time.Millisecond}, 1)
	m.Enqueue(0, Packet{Size: 1500})
	m.Enqueue(0, Packet{Size: 750})
	m.Enqueue(20*ms, Packet{Size: 1500}) // the transmitter was idle
	var got []int64
	for _, p := range drain(t, m) {
		got = append(got, p.At)
	}
	want := []int64{11 * ms, 11*ms + ms/2, 31 * ms}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("departures %v, want %v", got, want)
	}
}

func TestQueueBounds(t *testing.T) {
	for _, c := range []struct {
		name  string
		queue Queue
		pass  int
	}{
		{"none", Queue{}, 20},
		{"bytes", Queue{Bytes: 5000}, 5},
		{"bytes, less than a packet", Queue{Bytes: 10}, 1},
		{"packets", Queue{Packets: 7}, 7},
		{"time", Queue{Time: 4 * time.Millisecond}, 4}, // 1 ms each
		{"the tighter of two", Queue{Bytes: 5000, Packets: 3}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(Config{Rate: 8e6, Queue: c.queue}, 1)
			for range 20 {
				m.Enqueue(0, Packet{Size: 1000})
			}
			if s := m.Stats(); s.Held != c.pass || s.DropQueue != uint64(20-c.pass) || s.QueuedMax != 1000*c.pass {
				t.Fatalf("%d of 20 wait, %d dropped, at most %d bytes; want %d, %d, %d",
					s.Held, s.DropQueue, s.QueuedMax, c.pass, 20-c.pass, 1000*c.pass)
			}
			// A slot comes free when the first packet has left.
			m.Pop(ms)
			if v := m.Enqueue(ms, Packet{Size: 1000}); v != Accepted {
				t.Fatalf("verdict %v after a departure", v)
			}
		})
	}
}

func TestHeldIsBounded(t *testing.T) {
	m := New(Config{Delay: time.Second}, 1)
	for range MaxHeld + 10 {
		m.Enqueue(0, Packet{Size: 1})
	}
	if s := m.Stats(); s.Held != MaxHeld || s.DropLimit != 10 {
		t.Fatalf("held %d, dropped %d", s.Held, s.DropLimit)
	}
}

func TestMTUAndBlackhole(t *testing.T) {
	m := New(Config{MTU: 1400}, 1)
	for _, c := range []struct {
		size int
		hole bool
		want Verdict
	}{
		{1400, false, Accepted}, {1401, false, DroppedMTU}, {100, true, DroppedBlackhole}, {100, false, Accepted},
	} {
		m.Blackhole(c.hole)
		if got := m.Enqueue(0, Packet{Size: c.size}); got != c.want {
			t.Errorf("size %d, blackhole %v: verdict %v, want %v", c.size, c.hole, got, c.want)
		}
	}
	if s := m.Stats(); s.DropMTU != 1 || s.DropBlackhole != 1 || s.Dropped() != 2 {
		t.Fatalf("stats %+v", s)
	}
}

func TestReorderedPacketOvertakes(t *testing.T) {
	m := New(Config{Rate: 12e6, Delay: 10 * time.Millisecond, Reorder: 0.2}, 3)
	out := send(t, m, 1000, 1500, ms)
	if len(out) != 1000 {
		t.Fatalf("%d of 1000 packets left", len(out))
	}
	var early, inOrder int
	last := -1
	for _, p := range out {
		sent := int64(p.Tag.(int)) * ms
		switch p.At - sent {
		case ms:
			early++
		case 11 * ms:
			if p.Tag.(int) < last {
				t.Fatalf("packet %v came after %v without being reordered", p.Tag, last)
			}
			last = p.Tag.(int)
			inOrder++
		default:
			t.Fatalf("packet %v took %v", p.Tag, time.Duration(p.At-sent))
		}
	}
	if early < 150 || early > 250 {
		t.Fatalf("%d packets skipped the delay, want about 200", early)
	}
	if s := m.Stats(); int(s.Reordered) > early || s.Reordered < 150 {
		t.Fatalf("reordered %d, early %d", s.Reordered, early)
	}
}

func TestDuplicateKeepsItsOwnBytes(t *testing.T) {
	m := New(Config{Duplicate: 1, Corrupt: 1}, 1)
	frame := append(make([]byte, 14), bytes.Repeat([]byte{0xaa}, 100)...)
	m.Enqueue(0, Packet{Data: append([]byte(nil), frame...), Size: 100})
	out := drain(t, m)
	if len(out) != 2 {
		t.Fatalf("%d packets, want 2", len(out))
	}
	if n := differingBits(out[0].Data, frame); n != 1 {
		t.Errorf("the first differs in %d bits, want 1", n)
	}
	if !bytes.Equal(out[0].Data[:14], frame[:14]) {
		t.Error("the Ethernet header was corrupted")
	}
	if !bytes.Equal(out[1].Data, frame) {
		t.Error("the copy was corrupted with the original")
	}
}

func differingBits(a, b []byte) (n int) {
	for i := range a {
		for x := a[i] ^ b[i]; x != 0; x &= x - 1 {
			n++
		}
	}
	return n
}

func TestCloneMayRefuse(t *testing.T) {
	m := New(Config{Duplicate: 1}, 1)
	m.Clone = func(p Packet) (Packet, bool) { return Packet{}, false }
	m.Enqueue(0, Packet{Size: 1})
	if s := m.Stats(); s.Duplicated != 0 || s.Held != 1 {
		t.Fatalf("stats %+v", s)
	}
}

func TestFlush(t *testing.T) {
	m := New(Config{Rate: 12e6, Delay: 5 * time.Millisecond, Reorder: 0.3}, 1)
	for range 20 {
		m.Enqueue(0, Packet{Size: 1500})
	}
	m.Pop(10 * ms)
	held := m.Stats().Held
	released := 0
	m.Flush(10*ms, func(Packet) { released++ })
	if s := m.Stats(); released != held || s.DropFlush != uint64(held) || s.Held != 0 || s.QueuedBytes != 0 {
		t.Fatalf("released %d of %d, stats %+v", released, held, s)
	}
	// The link starts anew: nothing that was inside delays what comes.
	m.Set(10*ms, Config{Rate: 12e6, Delay: 5 * time.Millisecond})
	m.Enqueue(10*ms, Packet{Size: 1500})
	if out := drain(t, m); len(out) != 1 || out[0].At != 16*ms {
		t.Fatalf("after the flush: %+v", out)
	}
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	m := New(Config{Rate: 1e9, Delay: time.Millisecond, Jitter: 100 * time.Microsecond, Distribution: Normal,
		Loss: Loss{Good: 0.01}, Reorder: 0.01, Queue: Queue{Time: 10 * time.Millisecond}}, 1)
	data := make([]byte, 1514)
	now := int64(0)
	step := func() {
		for range 1000 {
			now += 12000
			m.Enqueue(now, Packet{Data: data, Size: 1500})
			for {
				if _, ok := m.Pop(now); !ok {
					break
				}
			}
		}
	}
	step()
	if n := testing.AllocsPerRun(10, step); n != 0 {
		t.Fatalf("%v allocations per 1000 packets", n)
	}
}

func BenchmarkModel(b *testing.B) {
	b.ReportAllocs()
	m := New(Config{Rate: 1e9, Delay: time.Millisecond, Loss: Loss{Good: 0.01}}, 1)
	now := int64(0)
	for b.Loop() {
		now += 12000
		m.Enqueue(now, Packet{Size: 1500})
		m.Next()
		m.Pop(now)
	}
}

func TestBlockUDP(t *testing.T) {
	packet := func(version byte, length, at int, protocol byte) Packet {
		ip := make([]byte, length)
		ip[0], ip[at] = version<<4|5, protocol
		return Packet{Data: append(make([]byte, 14), ip...), Size: length}
	}
	m := New(Config{BlockUDP: true}, 1)
	for _, c := range []struct {
		name string
		p    Packet
		want Verdict
	}{
		{"UDP", packet(4, 28, 9, 17), DroppedBlocked},
		{"TCP", packet(4, 40, 9, 6), Accepted},
		{"UDP over IPv6", packet(6, 48, 6, 17), DroppedBlocked},
		{"TCP over IPv6", packet(6, 60, 6, 6), Accepted},
		{"truncated", packet(4, 10, 9, 17), Accepted},
	} {
		if got := m.Enqueue(0, c.p); got != c.want {
			t.Errorf("%s: verdict %d, want %d", c.name, got, c.want)
		}
	}
	if s := m.Stats(); s.DropBlocked != 2 || s.Dropped() != 2 {
		t.Errorf("%+v", s)
	}
}
