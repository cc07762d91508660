package link

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseTraceErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "lasts for no time"},
		{"0\n0\n", "lasts for no time"},
		{"1\n\n2\n", `line 2: "" is not a time`},
		{"1\nx\n", `line 2: "x" is not a time`},
		{"-1\n", `line 1: "-1" is not a time`},
		{"5\n4\n", "line 2: 4 ms comes after 5 ms"},
		{"99999999999\n", "line 1:"},
	} {
		if _, err := ParseTrace(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: error %v, want one with %q", c.text, err, c.want)
		}
	}
}

func TestTraceRate(t *testing.T) {
	if got := mustTrace(t, "1 1 2").Rate(); got != 3*1500*8/0.002 {
		t.Fatalf("rate %g", got)
	}
	// A time bounds the queue by the mean rate: 18 Mbit/s for 1 ms.
	cfg := Config{Trace: mustTrace(t, "1 1 2"), Queue: Queue{Time: time.Millisecond}}
	if got := cfg.QueueBytes(); got != 2250 {
		t.Fatalf("a queue of 1 ms has %d bytes, want 2250", got)
	}
}

// arrival is a packet on its way into a traced link, times in ms.
type arrival struct{ at, size, leaves int }

func TestTraceSlots(t *testing.T) {
	for _, c := range []struct {
		name, trace string
		packets     []arrival
	}{
		{"one slot per full packet", "1 3 4", []arrival{{0, 1500, 1}, {0, 1500, 3}, {0, 1500, 4}}},
		{"it starts over at the last stamp", "1 3 4", []arrival{{0, 1500, 1}, {0, 1500, 3}, {0, 1500, 4}, {0, 1500, 5}, {0, 1500, 7}}},
		{"small packets share a slot", "2 5", []arrival{{0, 500, 2}, {0, 500, 2}, {0, 500, 2}, {0, 500, 5}}},
		{"a packet runs over into the next slot", "2 5 6", []arrival{{0, 1000, 2}, {0, 1000, 5}, {0, 1000, 5}, {0, 1000, 6}}},
		{"a slot nobody waits for is lost", "2 5 9", []arrival{{3, 100, 5}, {6, 100, 9}}},
		{"the rest of a slot serves who comes then", "2 5", []arrival{{2, 500, 2}, {2, 500, 2}, {3, 100, 5}}},
		{"stamp 0 follows the last at once", "0 2", []arrival{{1, 1500, 2}, {1, 1500, 2}, {1, 1500, 4}}},
		{"many slots at one time", "1 1 1 2", []arrival{{0, 1500, 1}, {0, 1500, 1}, {0, 1500, 1}, {0, 1500, 2}}},
		{"after many cycles", "1 3 4", []arrival{{4000, 1500, 4000}, {4000, 1500, 4001}, {8002, 1500, 8003}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(Config{Trace: mustTrace(t, c.trace)}, 1)
			var got, want []int64
			for _, p := range c.packets {
				m.Enqueue(int64(p.at)*ms, Packet{Size: p.size})
				want = append(want, int64(p.leaves)*ms)
			}
			got = departures(drain(t, m))
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("departures %v, want %v", got, want)
			}
		})
	}
}

func FuzzParseTrace(f *testing.F) {
	f.Add("1\n2\n3\n")
	f.Add("0\n0\n7\r\n7\n")
	f.Add("18446744073709551616\n")
	f.Fuzz(func(t *testing.T, text string) {
		trace, err := ParseTrace(strings.NewReader(text))
		if err != nil {
			return
		}
		if trace.Rate() <= 0 || trace.period() <= 0 {
			t.Fatalf("rate %g, period %d", trace.Rate(), trace.period())
		}
		m := New(Config{Trace: trace}, 1)
		before := int64(0)
		for i := range 20 {
			m.Enqueue(int64(i)*ms, Packet{Size: 100 * i})
		}
		for at, ok := m.Next(); ok; at, ok = m.Next() {
			if at < before {
				t.Fatalf("departure at %d before %d", at, before)
			}
			before = at
			m.Pop(at)
		}
	})
}
