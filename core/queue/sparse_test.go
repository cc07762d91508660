package queue

import (
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// TestSparse: a bucket is sparse up to the rate of a call and a few packets at
// once, and again as soon as it is quiet.
func TestSparse(t *testing.T) {
	for _, c := range []struct {
		about       string
		size, n     int
		every       time.Duration
		first, last bool
	}{
		{"a ping", 84, 100, 100 * time.Millisecond, true, true},
		{"a call", 200, 500, 20 * time.Millisecond, true, true},
		{"acknowledgements of a download", 52, 5000, 500 * time.Microsecond, true, false},
		{"a download", 1400, 100, 100 * time.Microsecond, true, false},
		{"the first packets of a connection", 1400, 4, 0, true, true},
		{"one too many", 1400, 5, 0, true, false},
	} {
		q, o, now := New(1<<20), packet.NewPool(10_000), core.Time(1)
		var first, last bool
		for i := range c.n {
			q.Push(now, packetOf(o, c.size, 1), Conditions{})
			last = q.At(0).Sparse
			if i == 0 {
				first = last
			}
			p, _ := q.Take(0)
			p.Release()
			now = now.Add(c.every)
		}
		if first != c.first || last != c.last {
			t.Errorf("%s: the first sparse %v, the last %v", c.about, first, last)
		}
		now = now.Add(time.Second)
		q.Push(now, packetOf(o, c.size, 1), Conditions{})
		if !q.At(0).Sparse {
			t.Errorf("%s: not sparse after a second", c.about)
		}
	}
}
