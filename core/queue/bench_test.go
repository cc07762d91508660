package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// BenchmarkQueue has each packet of some flows pass a queue in which 16 of
// each wait.
func BenchmarkQueue(b *testing.B) {
	for _, flows := range []uint32{1, 8, 64} {
		b.Run(fmt.Sprintf("flows=%d", flows), func(b *testing.B) {
			q, o := New(16<<20), packet.NewPool(1<<15)
			c := Conditions{Rate: 1e9, RTT: 10 * time.Millisecond}
			now := core.Time(1e9)
			push := func(flow uint32) {
				if v := q.Push(now, packetOf(o, 1400, flow*0x9e3779b9), c); v != Accepted {
					b.Fatal("refused:", v)
				}
			}
			for i := range 16 * flows {
				push(i % flows)
			}
			b.ReportAllocs()
			for i := range uint32(b.N) {
				now += 1000
				push(i % flows)
				p, _ := q.Take(0)
				q.Carried(0, p)
				p.Release()
			}
		})
	}
}
