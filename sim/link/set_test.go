package link

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func departures(out []Packet) (at []int64) {
	for _, p := range out {
		at = append(at, p.At)
	}
	return at
}

func mustTrace(t testing.TB, lines string) *Trace {
	t.Helper()
	trace, err := ParseTrace(strings.NewReader(strings.ReplaceAll(lines, " ", "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return trace
}

// Two packets of 1 ms at 12 Mbit/s each; at 0.5 ms the link changes.
func TestSetRescalesThePacketInService(t *testing.T) {
	slots := mustTrace(t, "1 2 3 4 5 6 7 8 9 10")
	for _, c := range []struct {
		name string
		from Config
		to   Config
		want []int64
	}{
		{"slower", Config{Rate: 12e6}, Config{Rate: 6e6}, []int64{ms/2 + ms, ms/2 + 3*ms}},
		{"faster", Config{Rate: 12e6}, Config{Rate: 24e6}, []int64{ms/2 + ms/4, ms/2 + ms*3/4}},
		{"same", Config{Rate: 12e6}, Config{Rate: 12e6}, []int64{ms, 2 * ms}},
		{"unlimited", Config{Rate: 12e6}, Config{}, []int64{ms / 2, ms / 2}},
		// Half of the first packet takes half of the first slot, 1 ms after the
		// change; the second goes in that slot's other half and the next slot.
		{"to a trace", Config{Rate: 12e6}, Config{Trace: slots}, []int64{ms/2 + ms, ms/2 + 2*ms}},
		{"from a trace", Config{Trace: slots}, Config{Rate: 12e6}, []int64{ms/2 + ms, ms/2 + 2*ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := New(c.from, 1)
			m.Enqueue(0, Packet{Size: 1500})
			m.Enqueue(0, Packet{Size: 1500})
			m.Set(ms/2, c.to)
			got := departures(drain(t, m))
			if !reflect.DeepEqual(got, c.want) {
				t.Fatalf("departures %v, want %v", got, c.want)
			}
		})
	}
}

func TestSetKeepsTheDelayLine(t *testing.T) {
	m := New(Config{Delay: 20 * time.Millisecond}, 1)
	m.Enqueue(0, Packet{Size: 100})
	m.Set(ms, Config{Delay: 5 * time.Millisecond})
	m.Enqueue(2*ms, Packet{Size: 100})  // must not overtake
	m.Enqueue(30*ms, Packet{Size: 100}) // has the new delay
	want := []int64{20 * ms, 20 * ms, 35 * ms}
	if got := departures(drain(t, m)); !reflect.DeepEqual(got, want) {
		t.Fatalf("departures %v, want %v", got, want)
	}
}

func TestSetSmallerQueueKeepsWhatWaits(t *testing.T) {
	m := New(Config{Rate: 12e6}, 1)
	for range 10 {
		m.Enqueue(0, Packet{Size: 1500})
	}
	m.Set(0, Config{Rate: 12e6, Queue: Queue{Packets: 2}})
	if v := m.Enqueue(0, Packet{Size: 1500}); v != DroppedQueue {
		t.Fatalf("verdict %v on a full queue", v)
	}
	if n := len(drain(t, m)); n != 10 {
		t.Fatalf("%d packets left, want 10", n)
	}
}

// A knob that is turned does not change what the others decide.
func TestKnobsAreIndependent(t *testing.T) {
	fates := func(cfg Config) (lost, twice []int) {
		m := New(cfg, 7)
		for i := range 5000 {
			before := m.Stats()
			m.Enqueue(int64(i)*ms, Packet{Size: 100})
			if s := m.Stats(); s.DropLoss > before.DropLoss {
				lost = append(lost, i)
			} else if s.Duplicated > before.Duplicated {
				twice = append(twice, i)
			}
		}
		return lost, twice
	}
	plain := Config{Loss: Loss{Good: 0.05}, Duplicate: 0.05}
	other := plain
	other.Rate, other.Reorder, other.Corrupt = 50e6, 0.2, 0.3
	other.Jitter, other.Distribution = time.Millisecond, Normal
	lost1, twice1 := fates(plain)
	lost2, twice2 := fates(other)
	if !reflect.DeepEqual(lost1, lost2) || !reflect.DeepEqual(twice1, twice2) {
		t.Fatal("other impairments changed which packets are lost or duplicated")
	}
	if len(lost1) == 0 || len(twice1) == 0 {
		t.Fatal("nothing was lost or duplicated")
	}
}
