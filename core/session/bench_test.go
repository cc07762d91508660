package session

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// segmentsPerSuper makes a super-packet as the kernel hands them over with
// what package tun asks for.
const segmentsPerSuper = 45

// superPacket is a TCP super-packet of 1,348 bytes of payload per segment.
func superPacket(segments int) core.Packet {
	const header, size = 52, 1348
	p := make([]byte, header+segments*size)
	p[0], p[8], p[9] = 0x45, 64, 6
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], []byte{10, 8, 0, 2, 198, 18, 0, 1})
	binary.BigEndian.PutUint16(p[20:], 5000)
	binary.BigEndian.PutUint16(p[22:], 6000)
	p[32], p[33] = 8<<4, 0x10
	return core.Packet{Data: p, Segment: size, Partial: true}
}

// smallPackets are interleaved UDP packets of n flows.
func smallPackets(n, flows, size int) []core.Packet {
	var batch []core.Packet
	for i := range n {
		p := numbered(uint64(i), size)
		binary.BigEndian.PutUint16(p[20:], uint16(5000+i%flows))
		batch = append(batch, core.Packet{Data: p})
	}
	return batch
}

// defaultStrategy is what a session has when nothing is configured.
var defaultStrategy = Strategy{
	Scheduler: "earliest", RateControl: true, Retransmit: true, Equalize: EqualizeAuto, Classifier: "rtp",
}

// exchange hands packets to one end and everything that follows from it to
// whom it is for, 100 µs of travel in each direction.
type exchange struct {
	w     *world
	batch []core.Datagram
}

func newExchange(t testing.TB, links int, reorder string) *exchange {
	w := newWorld(t, defaultStrategy, reorder)
	for id := range core.LinkID(links) {
		d := 100 * time.Microsecond
		w.link(id, pipe{delay: d}, pipe{delay: d})
	}
	w.run(500 * time.Millisecond)
	return &exchange{w: w}
}

// carry gives what an end has put out to the other end.
func (x *exchange) carry(from int) {
	a, b := x.w.ends[from], x.w.ends[1-from]
	for _, r := range a.out.Runs {
		x.batch = x.batch[:0]
		for d := r.Data; len(d) > 0; {
			n := min(r.Segment, len(d))
			x.batch = append(x.batch, core.Datagram{Data: d[:n:n], Path: a.pipes[r.Link].path})
			d = d[n:]
		}
		b.s.HandleDatagrams(x.w.now, r.Link, x.batch, &b.out)
	}
	a.out.Runs = a.out.Runs[:0]
}

// round sends a batch from an end and returns after what it set off. It
// returns how many packets came out at the other end.
func (x *exchange) round(from int, batch []core.Packet) (delivered int) {
	a, b := x.w.ends[from], x.w.ends[1-from]
	before := b.s.counters.RxPackets
	a.s.HandlePackets(x.w.now, batch, &a.out)
	for range 4 {
		x.w.now = x.w.now.Add(100 * time.Microsecond)
		x.carry(from)
		if b.s.NextTimeout() <= x.w.now {
			b.s.HandleTimeout(x.w.now, &b.out)
		}
		x.carry(1 - from)
		if a.s.NextTimeout() <= x.w.now {
			a.s.HandleTimeout(x.w.now, &a.out)
		}
	}
	return int(b.s.counters.RxPackets - before)
}

// BenchmarkPath is what a packet costs in both sessions together, sealing and
// opening included. It must not grow with the number of links.
func BenchmarkPath(b *testing.B) {
	kinds := []struct {
		name  string
		batch []core.Packet
	}{
		{"super", []core.Packet{superPacket(segmentsPerSuper)}},
		{"64B", smallPackets(64, 8, 64)},
		{"1x64B", smallPackets(1, 1, 64)},
	}
	for _, kind := range kinds {
		for _, links := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("%s/links=%d", kind.name, links), func(b *testing.B) {
				x := newExchange(b, links, "flow")
				for range 2000 {
					x.round(server, kind.batch)
				}
				b.ReportAllocs()
				packets := 0
				for b.Loop() {
					packets += x.round(server, kind.batch)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
				b.ReportMetric(float64(packets)/float64(b.N), "packets/op")
			})
		}
	}
}

// BenchmarkClients is the same with that many pairs of sessions in turn, as a
// server has them: what grows is only what no longer fits the processor's
// cache.
func BenchmarkClients(b *testing.B) {
	for _, clients := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("64B/clients=%d", clients), func(b *testing.B) {
			batch := smallPackets(16, 4, 64)
			all := make([]*exchange, clients)
			for i := range all {
				all[i] = newExchange(b, 1, "flow")
				for range 20 {
					all[i].round(server, batch)
				}
			}
			b.ReportAllocs()
			packets := 0
			for i := 0; b.Loop(); i++ {
				packets += all[i%clients].round(server, batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
		})
	}
}
