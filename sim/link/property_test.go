package link

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyConfig draws a configuration of every kind.
func anyConfig(t *rapid.T) Config {
	share := func(name string) float64 {
		return rapid.SampledFrom([]float64{0, 0, 0.01, 0.2, 1}).Draw(t, name)
	}
	cfg := Config{
		Rate:         rapid.SampledFrom([]float64{0, 1e5, 1e6, 6.21e6, 3e8}).Draw(t, "rate"),
		Delay:        time.Duration(rapid.IntRange(0, 50e6).Draw(t, "delay")),
		Jitter:       time.Duration(rapid.IntRange(0, 20e6).Draw(t, "jitter")),
		Distribution: Distribution(rapid.IntRange(0, 1).Draw(t, "distribution")),
		Loss:         Loss{P: share("p"), R: share("r"), Good: share("good"), Bad: share("bad")},
		Reorder:      share("reorder"),
		Duplicate:    share("duplicate"),
		Corrupt:      share("corrupt"),
		MTU:          rapid.SampledFrom([]int{0, 1000, 1500}).Draw(t, "mtu"),
		Queue: Queue{
			Time:    time.Duration(rapid.SampledFrom([]int{0, 0, 5e6, 1e8}).Draw(t, "queue time")),
			Bytes:   rapid.SampledFrom([]int{0, 0, 1, 20000}).Draw(t, "queue bytes"),
			Packets: rapid.SampledFrom([]int{0, 0, 1, 10}).Draw(t, "queue packets"),
		},
	}
	if rapid.IntRange(0, 3).Draw(t, "traced") == 0 {
		var lines strings.Builder
		stamp := 0
		for range rapid.IntRange(1, 20).Draw(t, "slots") {
			stamp += rapid.IntRange(0, 30).Draw(t, "gap")
			fmt.Fprintln(&lines, stamp)
		}
		fmt.Fprintln(&lines, stamp+1)
		cfg.Trace, _ = ParseTrace(strings.NewReader(lines.String()))
	}
	return cfg
}

// step is one thing that happens to a model in a property test.
type step struct {
	gap  int64
	size int
	set  *Config
	hole int // 1 on, 2 off
}

func anySteps(t *rapid.T) []step {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		s := step{
			gap:  int64(rapid.SampledFrom([]int{0, 1, 1000, 1e6, 2e7}).Draw(t, "gap")),
			size: rapid.IntRange(0, 1600).Draw(t, "size"),
		}
		switch rapid.IntRange(0, 19).Draw(t, "event") {
		case 0:
			cfg := anyConfig(t)
			s.set = &cfg
		case 1:
			s.hole = rapid.IntRange(1, 2).Draw(t, "hole")
		}
		return s
	}), 1, 200).Draw(t, "steps")
}

// play runs the steps and returns what left, checking at each step that no
// packet is lost or made without being counted.
func play(t rapid.TB, cfg Config, seed uint64, steps []step) (out []Packet, end Stats) {
	m := New(cfg, seed)
	now := int64(0)
	check := func() {
		s := m.Stats()
		if s.PacketsIn+s.Duplicated != s.PacketsOut+s.Dropped()+uint64(s.Held) {
			t.Fatalf("packets do not add up: %+v", s)
		}
		if s.QueuedBytes < 0 || (s.Held == 0 && s.QueuedBytes != 0) {
			t.Fatalf("queued bytes do not add up: %+v", s)
		}
	}
	pop := func(until int64) {
		for at, ok := m.Next(); ok && at <= until; at, ok = m.Next() {
			if p, ok := m.Pop(at); ok {
				out = append(out, p)
			}
			check()
		}
	}
	for i, s := range steps {
		now += s.gap
		pop(now)
		if s.set != nil {
			m.Set(now, *s.set)
		}
		if s.hole > 0 {
			m.Blackhole(s.hole == 1)
		}
		m.Enqueue(now, Packet{Size: s.size, Data: make([]byte, s.size), Tag: i})
		check()
	}
	for at, ok := m.Next(); ok; at, ok = m.Next() {
		pop(at)
	}
	return out, m.Stats()
}

func TestConservationAndDeterminism(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, seed, steps := anyConfig(t), rapid.Uint64().Draw(t, "seed"), anySteps(t)
		out1, stats1 := play(t, cfg, seed, steps)
		if stats1.Held != 0 || stats1.PacketsOut != uint64(len(out1)) {
			t.Fatalf("%d packets left, stats %+v", len(out1), stats1)
		}
		out2, stats2 := play(t, cfg, seed, steps)
		if !reflect.DeepEqual(out1, out2) || stats1 != stats2 {
			t.Fatal("the same input led to another result")
		}
	})
}

func TestDeparturesAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg, steps := anyConfig(t), anySteps(t)
		cfg.Reorder = 0
		for i := range steps {
			if steps[i].set != nil {
				steps[i].set.Reorder = 0
			}
		}
		out, _ := play(t, cfg, 1, steps)
		for i := 1; i < len(out); i++ {
			if out[i].At < out[i-1].At {
				t.Fatalf("departure %d at %d, before the one before it at %d", i, out[i].At, out[i-1].At)
			}
			if out[i].Tag.(int) < out[i-1].Tag.(int) {
				t.Fatalf("packet %v left after %v", out[i].Tag, out[i-1].Tag)
			}
		}
	})
}

// A busy transmitter of any rate sends exactly that rate, whatever the sizes.
func TestBusyTransmitterIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		milli := rapid.Uint64Range(1e5, 1e13).Draw(t, "rate in 1/1000 bit/s")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 1500), 1, 500).Draw(t, "sizes")
		m := New(Config{Rate: float64(milli) / 1000}, 1)
		var work, last uint64
		for _, size := range sizes {
			m.Enqueue(0, Packet{Size: size})
			work += uint64(size) * workPerByte
		}
		for at, ok := m.Next(); ok; at, ok = m.Next() {
			m.Pop(at)
			last = uint64(at)
		}
		if last != work/milli {
			t.Fatalf("the last packet left at %d ns, want %d", last, work/milli)
		}
	})
}
