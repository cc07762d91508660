package gso

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/multilink-vpn/multilink/core"
)

// TestFollowJoinsAsTakeDoes: with headers that differ in any bit, the short way joins
// what the long way joins.
func TestFollowJoinsAsTakeDoes(t *testing.T) {
	shapes := func(groups []Group) (all []string) {
		for _, g := range groups {
			all = append(all, fmt.Sprint(len(g.Parts), g.Len, g.Segment, g.Partial))
		}
		return all
	}
	rapid.Check(t, func(t *rapid.T) {
		s := segment{
			v6: rapid.Bool().Draw(t, "IPv6"), flags: rapid.SampledFrom([]uint16{0, ipv4DontFragment}).Draw(t, "flags"),
			tcp: flagACK, seq: rapid.Uint32().Draw(t, "seq"), id: rapid.Uint16().Draw(t, "id"), partial: true,
			options: bytesUpTo(rapid.SampledFrom([]int{0, 12}).Draw(t, "options")), payload: bytesUpTo(100),
		}
		a, b := Coalescer{TCP: true, UDP: true}, Coalescer{TCP: true, UDP: true}
		var in []core.Packet
		wantMalformed := 0
		for range rapid.IntRange(2, 12).Draw(t, "packets") {
			p := s.build()
			if rapid.IntRange(0, 3).Draw(t, "change") == 0 {
				bit := rapid.IntRange(0, 8*(len(p)-len(s.payload))-1).Draw(t, "bit")
				p[bit/8] ^= 1 << (bit % 8)
			}
			in = append(in, core.Packet{Data: p, Partial: true})
			if b.last = -1; !b.take(core.Packet{Data: bytes.Clone(p), Partial: true}) {
				wantMalformed++
			}
			s.seq, s.id = s.seq+uint32(len(s.payload)), s.id+1
		}
		groups, malformed := a.Coalesce(in)
		if got, want := shapes(groups), shapes(b.groups); malformed != wantMalformed || !slices.Equal(got, want) {
			t.Fatalf("groups %v and %d malformed, want %v and %d", got, malformed, want, wantMalformed)
		}
	})
}
