package reseq

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
)

// sending is a packet of the property test with its way through the tunnel.
type sending struct {
	tcpPacket
	at core.Time // arrival
}

// drawSendings makes streams whose packets, and some sent again, arrive in
// any order that delays up to most allow.
func drawSendings(t *rapid.T, most time.Duration) (all []sending, lost bool) {
	for port := range uint16(rapid.IntRange(1, 4).Draw(t, "streams")) {
		v6 := rapid.Bool().Draw(t, "v6")
		p := tcpPacket{v6: v6, port: port, seq: rapid.Uint32().Draw(t, "isn"), flags: flagSYN}
		at := core.Time(1e9)
		for i, n := 0, rapid.IntRange(1, 40).Draw(t, "packets"); i <= n; i++ {
			s := sending{p, at}
			if i > 0 { // the SYN says where the stream begins
				s.at = at.Add(time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, "delay")))
			}
			switch rapid.IntRange(0, 15).Draw(t, "fate") {
			case 0:
				lost = lost || s.end() != s.seq
			case 1:
				again := s
				again.at = s.at.Add(time.Duration(rapid.Int64Range(0, int64(most)).Draw(t, "again")))
				all = append(all, s, again)
			default:
				all = append(all, s)
			}
			p.seq, p.flags = p.end(), flagACK
			p.size = rapid.SampledFrom([]int{0, 0, 1, 500, 1300}).Draw(t, "size")
			if i == n-1 {
				p.flags |= rapid.SampledFrom([]byte{0, flagFIN, flagRST}).Draw(t, "last")
			}
			at += core.Time(rapid.Int64Range(0, int64(3*time.Millisecond)).Draw(t, "pause"))
		}
	}
	slices.SortStableFunc(all, func(a, b sending) int { return int(a.at - b.at) })
	for i := range all {
		all[i].number = uint32(i)
	}
	return all, lost
}

// TestTCPProperties: each packet is delivered exactly once; what is due or
// older at once; nothing waits longer than the hold time; and in order where
// nothing was lost.
func TestTCPProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, e, out := newTCP(), newEnv(), &tcpSink{}
		hold := holdTime(e)
		all, lost := drawSendings(t, hold)
		reached := map[uint16]uint32{} // by port: the end of what was delivered
		began := map[uint16]bool{}
		times := map[uint32]int{}
		ended := map[uint16]bool{} // a reset came: what follows begins anew
		note := func() {
			for _, n := range out.got {
				p := all[n]
				times[n]++
				if waited := e.Now.Sub(p.at); waited > hold {
					t.Fatalf("packet %d waited %s, the hold time is %s", n, waited, hold)
				}
				if !began[p.port] || int32(p.end()-reached[p.port]) > 0 {
					began[p.port], reached[p.port] = true, p.end()
				}
				ended[p.port] = ended[p.port] || p.flags&flagRST != 0
			}
			out.got = out.got[:0]
		}
		for i, p := range all {
			for r.NextTimeout() <= p.at {
				e.Now = r.NextTimeout()
				r.HandleTimeout(e, out)
				note()
			}
			e.Now = p.at
			due := !began[p.port] || int32(p.seq-reached[p.port]) <= 0
			r.Push(e, p.arrival(), out)
			if passed := slices.Contains(out.got, uint32(i)); !ended[p.port] && passed != due {
				t.Fatalf("packet %d %+v: passed at once %v, should %v", i, p.tcpPacket, passed, due)
			}
			if !lost && r.Stats().GapsSkipped == 0 {
				checkOrder(t, all, out.got, reached, began)
			}
			note()
		}
		for r.NextTimeout() != core.Never {
			e.Now = r.NextTimeout()
			r.HandleTimeout(e, out)
			note()
		}
		for i := range all {
			if times[uint32(i)] != 1 {
				t.Fatalf("packet %d was delivered %d times", i, times[uint32(i)])
			}
		}
		if e.Pool.Live() != 0 || r.Stats().HeldPackets != 0 {
			t.Fatalf("%d packets live, %+v", e.Pool.Live(), r.Stats())
		}
	})
}

// checkOrder fails when something leaves a gap behind it.
func checkOrder(t *rapid.T, all []sending, got []uint32, reached map[uint16]uint32, began map[uint16]bool) {
	reached = maps.Clone(reached)
	for _, n := range got {
		p := all[n]
		if began[p.port] && int32(p.seq-reached[p.port]) > 0 {
			t.Fatalf("packet %d overtook what is before it", n)
		}
		if !began[p.port] || int32(p.end()-reached[p.port]) > 0 {
			reached[p.port] = p.end()
		}
	}
}
