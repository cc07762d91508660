package link

import (
	"fmt"
	"testing"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// BenchmarkLink sends a datagram with a packet to be kept for repair, receives
// it, and reports every 64 of them: the bookkeeping of both ends per datagram.
// loss is how many of 1,000 do not arrive.
func BenchmarkLink(b *testing.B) {
	for _, loss := range []int{0, 10} {
		b.Run(fmt.Sprintf("loss=%d", loss), func(b *testing.B) {
			var (
				s    = NewSender(true)
				r    Receiver
				pool = packet.NewPool(1 << 12)
				now  = core.Time(1e9)
				ack  wire.Ack
				lost []Lost
			)
			b.ReportAllocs()
			for i := range b.N {
				now += 3000
				p := pool.Get()
				number := s.NextNumber()
				s.Sent(now, 1460, true, p, wire.Whole)
				p.Release()
				if i%1000 >= loss {
					r.Received(now+1e5, number, 1460, true)
				}
				if i%64 == 63 {
					r.Report(now+1e5, 0, &ack)
					lost = s.Acked(now+2e5, &ack, lost[:0])
					for _, l := range lost {
						l.Held.Release()
					}
				}
			}
		})
	}
}
