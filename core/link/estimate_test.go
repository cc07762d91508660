package link

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

func TestMinFilterIsTheLeastOfItsBuckets(t *testing.T) {
	var f minFilter
	if f.get() != none {
		t.Errorf("%v before anything was added", f.get())
	}
	random := rand.New(rand.NewPCG(1, 2))
	now := core.Time(time.Hour)
	for i := range 10_000 {
		now = now.Add(time.Duration(random.Int64N(int64(100 * time.Millisecond))))
		if i%1000 == 0 {
			now = now.Add(time.Duration(random.Int64N(int64(2 * filterBuckets * filterSpan))))
		}
		f.add(now, time.Duration(random.Int64N(int64(time.Second))))
		if want := slices.Min(f.bucket[:]); f.get() != want {
			t.Fatalf("%v, want %v", f.get(), want)
		}
	}
}

// TestEstimateIsOfNow: whatever changes a link changes what is believed of it.
func TestEstimateIsOfNow(t *testing.T) {
	b := newBottleneck(20*mbit, 10*time.Millisecond)
	b.saturate(2 * time.Second)
	for _, step := range []struct {
		name   string
		change func()
	}{
		{"a datagram", b.send},
		{"a report", func() {
			last, now := b.s.NextNumber()-1, b.now.Add(30*time.Millisecond)
			b.s.Acked(now, &wire.Ack{
				Ranges:   []wire.Range{{First: last, Last: last}},
				Arrivals: []wire.Arrival{{Number: last, At: now}},
			}, nil)
		}},
		{"a loss by age", func() { b.s.HandleTimeout(b.now.Add(time.Minute), nil) }},
		{"another address", func() { b.s.Moved(b.now, nil) }},
		{"a guess", func() { b.s.Begin(Guess{Rate: 1e9, Window: 1e9}) }},
		{"the end", func() { b.s.Close(b.now, nil) }},
		{"a return", func() { b.s.Reopen(Guess{Rate: 2e9, Window: 2e9}) }},
		{"a cap", func() { b.s.SetCap(1000) }},
	} {
		b.send()
		before := b.s.Estimate()
		step.change()
		if after := b.s.Estimate(); after == before || after != b.s.believed() {
			t.Errorf("%s: from %+v to %+v, want %+v", step.name, before, after, b.s.believed())
		}
	}
}
