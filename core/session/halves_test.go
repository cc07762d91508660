package session

import (
	"bytes"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// FuzzHalves takes halves in any order, of any length and number, and with
// pauses: what is made whole is made of two halves of one sequence, memory stays
// within its limit, and none of it is lost.
func FuzzHalves(f *testing.F) {
	f.Add([]byte{1, 0, 5, 1, 1, 5})
	f.Add([]byte{1, 0, 5, 1, 0, 5, 1, 1, 4, 2, 3, 0, 2, 1, 9})
	f.Fuzz(func(t *testing.T, in []byte) {
		const packets = 32
		pool := packet.NewPool(packets)
		var v halves
		var out Output
		now := core.Time(1)
		for ; len(in) >= 3; in = in[3:] {
			now = now.Add(time.Duration(in[1]>>2) * 20 * time.Millisecond)
			v.expire(now)
			h := wire.PacketHeader{Part: wire.FirstHalf + wire.Part(in[1]&1), Sequence: uint32(in[0]) + uint32(in[1]&2)*maxHalves/2}
			data := bytes.Repeat([]byte{in[0]}, int(in[2])+1)
			other := v.join(now, &h, data, pool)
			if other != nil {
				if other.Header.Sequence != h.Sequence || other.Header.Part == h.Part {
					t.Fatalf("%+v was joined with %+v", h, other.Header)
				}
				if whole := out.whole(&h, data, other); whole != nil && len(whole) != len(data)+len(other.Data) {
					t.Fatalf("%d and %d bytes became %d", len(data), len(other.Data), len(whole))
				}
				other.Release()
			}
			out.reset()
			if pool.Live() != v.count {
				t.Fatalf("%d packets in use, %d halves wait", pool.Live(), v.count)
			}
		}
		v.expire(now.Add(halfAge))
		if pool.Live() != 0 || v.count != 0 {
			t.Fatalf("%d packets and %d halves are left after %v", pool.Live(), v.count, halfAge)
		}
	})
}

// TestSentHalvesStayWhole: while the second half is sealed its header stands where the
// first half ends, which may have to be sent again.
func TestSentHalvesStayWhole(t *testing.T) {
	e := twoLinks(t, wholeStrategy).ends[server]
	p := e.s.pool.Get()
	p.Data = append(p.Data, bytes.Repeat([]byte("packet"), 200)...)
	want := bytes.Clone(p.Data)
	for _, flags := range []wire.Flags{0, wire.Repaired} {
		for _, part := range []wire.Part{wire.Whole, wire.FirstHalf, wire.SecondHalf} {
			e.s.sendPart(e.s.links[0], p, wire.PacketHeader{Flags: flags}, part, &e.out)
			if !bytes.Equal(p.Data, want) {
				t.Errorf("flags %d: part %d changed the packet", flags, part)
			}
		}
	}
}
