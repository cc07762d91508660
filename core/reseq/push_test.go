package reseq

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
)

// nullSink lets go of what it gets.
type nullSink struct{}

func (nullSink) Deliver(_ core.Packet, held *packet.Packet) {
	if held != nil {
		held.Release()
	}
}

// pusher feeds a resequencer a TCP stream in groups of a few packets, in order
// or backwards.
type pusher struct {
	r    Resequencer
	e    *Env
	a    []*Arrival
	next uint32
	back bool
}

func newPusher(name string, group int, back bool) *pusher {
	r, err := New(name)
	if err != nil {
		panic(err)
	}
	p := &pusher{r: r, e: newEnv(), back: back}
	for i := range group {
		a := tcpPacket{port: 7, size: 1300}.arrival()
		a.Link = core.LinkID(i) // each comes by a link of its own: none tells of another's losses
		p.e.Links |= 1 << i
		p.a = append(p.a, a)
	}
	p.push() // the first packet sets the origin: it must be the first
	return p
}

// push gives a group to the resequencer.
func (p *pusher) push() {
	for i := range p.a {
		k := i
		if p.back && p.next > 0 {
			k = len(p.a) - 1 - i
		}
		a, n := p.a[k], p.next+uint32(k)
		a.Header.Sequence, a.Header.BucketSequence = n, uint16(n)
		binary.BigEndian.PutUint32(a.Packet.Data[24:], n*1300)
		p.r.Push(p.e, a, nullSink{})
	}
	p.next += uint32(len(p.a))
	p.e.Now += core.Time(time.Millisecond)
	p.r.HandleTimeout(p.e, nullSink{})
}

func TestPushAllocatesNothing(t *testing.T) {
	for _, name := range Names() {
		for _, back := range []bool{false, true} {
			p := newPusher(name, 8, back)
			p.push()
			if n := testing.AllocsPerRun(1000, p.push); n != 0 {
				t.Errorf("%s, backwards %v: %v allocations for a group of packets", name, back, n)
			}
			if st := p.r.Stats(); st.HeldPackets != 0 || st.GapsSkipped != 0 || back && name != "none" && st.Held == 0 {
				t.Errorf("%s, backwards %v: %+v", name, back, st)
			}
		}
	}
}

// BenchmarkPush is the cost of one packet.
func BenchmarkPush(b *testing.B) {
	for _, name := range Names() {
		for _, back := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/backwards=%v", name, back), func(b *testing.B) {
				p := newPusher(name, 8, back)
				b.ReportAllocs()
				for i := 0; i < b.N; i += len(p.a) {
					p.push()
				}
			})
		}
	}
}
