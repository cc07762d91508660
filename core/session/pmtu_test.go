package session

import (
	"fmt"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// fullSize is what a full inner packet makes of an outer one, with room for a
// repair.
const fullSize = 1400 + datagramOverhead + 28

// squeezed is a world of one or two links of which the first silently drops
// outer packets above mtu, in both directions, from the beginning.
func squeezed(t testing.TB, mtu int, alone bool) *world {
	w := newWorld(t, wholeStrategy, "flow")
	first := pipe{rate: 20 * mbit, delay: 10 * time.Millisecond, queue: 100 * time.Millisecond, mtu: mtu}
	w.link(0, first, first)
	if !alone {
		second := pipe{rate: 20 * mbit, delay: 20 * time.Millisecond, queue: 100 * time.Millisecond}
		w.link(1, second, second)
	}
	w.run(2 * time.Second)
	return w
}

func (w *world) longestGap(i int) time.Duration {
	e := w.ends[i]
	gap := time.Duration(0)
	for k := 1; k < len(e.at); k++ {
		gap = max(gap, e.at[k].Sub(e.at[k-1]))
	}
	return gap
}

func TestPathMTUIsFoundByProbing(t *testing.T) {
	for _, c := range []struct{ mtu, least, most int }{
		{0, fullSize, fullSize}, {1500, fullSize, fullSize}, {1400, 1400, 1400}, {1280, 1280, 1280},
		{1443, 1439, 1443}, {1000, 800, 1280},
	} {
		w := squeezed(t, c.mtu, true)
		n := w.stream(server, 2*mbit, 1400, 3*time.Second) // below 1280 it is data that shows it
		w.run(4 * time.Second)
		w.wantAll(n)
		for i, e := range w.ends {
			got := e.s.Snapshot(w.now).Links[0].PMTU
			if got < c.least || got > c.most {
				t.Errorf("mtu %d: end %d found %d", c.mtu, i, got)
			}
			told := fullSize
			for _, news := range e.changes {
				if news.Kind == PathMTUChanged {
					told = news.PMTU
				}
			}
			if c.mtu >= 1280 && told != got {
				t.Errorf("mtu %d: end %d told of %d, found %d", c.mtu, i, told, got)
			}
		}
	}
}

// TestSmallPathsCarryEverything: full packets arrive, once and in order, over
// a path that carries none of them whole.
func TestSmallPathsCarryEverything(t *testing.T) {
	for _, mtu := range []int{1280, 1400} {
		for _, alone := range []bool{true, false} {
			w := squeezed(t, mtu, alone)
			n := w.stream(server, 12*mbit, 1400, 4*time.Second)
			w.run(5 * time.Second)
			w.wantAll(n)
			for i, p := range w.ends[client].received {
				if number(p) != uint64(i) || len(p) != 1400 {
					t.Fatalf("mtu %d: packet %d came as number %d with %d bytes", mtu, i, number(p), len(p))
				}
			}
			c := w.ends[server].s.Snapshot(w.now).Counters
			if c.SplitPackets == 0 {
				t.Errorf("mtu %d, alone %v: no packet was split", mtu, alone)
			}
		}
	}
}

// TestPathShrinks: a path that begins to drop full packets while data flows
// stops nothing for long, with and without another link.
func TestPathShrinks(t *testing.T) {
	for _, mtu := range []int{1280, 1400} {
		for _, alone := range []bool{true, false} {
			atMoments(func(after time.Duration) { pathShrinks(t, mtu, alone, after) })
		}
	}
}

func pathShrinks(t *testing.T, mtu int, alone bool, after time.Duration) {
	w := squeezed(t, 0, alone)
	n := w.stream(server, 8*mbit, 1400, 6*time.Second)
	w.at(w.now.Add(2*time.Second+after), func() {
		for _, e := range w.ends {
			e.pipes[0].mtu = mtu
		}
	})
	w.run(7 * time.Second)
	lost, repeated := missing(w.ends[client], n)
	gap := w.longestGap(client)
	what := fmt.Sprintf("mtu %d, alone %v, after %v", mtu, alone, after)
	t.Logf("%s: gap %v, %d of %d lost", what, gap, lost, n)
	if gap > 500*time.Millisecond || lost > n/100 || repeated > 0 {
		t.Errorf("%s: gap %v, %d of %d lost, %d repeated", what, gap, lost, n, repeated)
	}
	v := w.ends[server].s.Snapshot(w.now).Links[0]
	if v.PMTU != mtu || v.BlackHoles == 0 || v.State != "up" {
		t.Errorf("%s: found %d after %d black holes, link %s", what, v.PMTU, v.BlackHoles, v.State)
	}
}

// TestHalvesAreRepaired: the loss of one half is repaired by that half.
func TestHalvesAreRepaired(t *testing.T) {
	w := squeezed(t, 1280, false)
	for _, e := range w.ends {
		e.pipes[0].loss = 0.05
	}
	n := w.stream(server, 12*mbit, 1400, 5*time.Second)
	w.run(7 * time.Second)
	lost, repeated := missing(w.ends[client], n)
	if share := float64(lost) / float64(n); share > 1e-3 || repeated > 0 {
		t.Errorf("%d of %d lost, %d repeated", lost, n, repeated)
	}
	c := w.ends[client].s
	c.HandleTimeout(w.now.Add(2*halfAge), &w.ends[client].out)
	if c.halves.count != 0 {
		t.Errorf("%d halves are kept", c.halves.count)
	}
}

// TestHalvesAreBounded: halves without the other one are dropped and counted,
// for want of room and for age, and give their memory back.
func TestHalvesAreBounded(t *testing.T) {
	w := squeezed(t, 1280, true)
	w.ends[server].pipes[0].queue = 0
	e, now := w.ends[client], w.now
	before := e.s.pool.Live()
	h := headerOf(0)
	for n := range uint32(3 * maxHalves) {
		h.Sequence = n
		if p := e.s.halves.join(now, &h, make([]byte, 700), e.s.pool); p != nil {
			t.Fatal("joined with nothing")
		}
	}
	if got := e.s.halves; got.count != maxHalves || got.dropped != 2*maxHalves {
		t.Errorf("%d kept, %d dropped", got.count, got.dropped)
	}
	e.s.HandleTimeout(now.Add(halfAge), &e.out)
	if got := e.s.halves; got.count != 0 || got.dropped != 3*maxHalves || e.s.pool.Live() != before {
		t.Errorf("%d kept, %d dropped, %d packets live", got.count, got.dropped, e.s.pool.Live()-before)
	}
	if e.s.halves.nextTimeout() != core.Never {
		t.Error("a timeout without halves")
	}
}

// TestNewConnectionsFitEveryLink: what hosts announce is lowered to what all
// links carry, for the direction that the end sends.
func TestNewConnectionsFitEveryLink(t *testing.T) {
	for mtu, want := range map[int]int{0: 1360, 1400: 1400 - 28 - datagramOverhead - 40, 1280: 1280 - 28 - datagramOverhead - 40} {
		w := squeezed(t, mtu, false)
		w.send(client, syn(1460))
		w.run(time.Second)
		got := w.ends[server].received
		if len(got) != 1 || announced(got[0]) != want {
			t.Errorf("mtu %d: %d packets, MSS %d, want %d", mtu, len(got), announced(got[0]), want)
		}
	}
}

// syn is a TCP SYN that announces a maximum segment size.
func syn(mss int) []byte {
	p := numbered(0, 44)
	p[9] = 6
	t := p[20:]
	clear(t)
	t[12], t[13] = 6<<4, 2
	t[20], t[21], t[22], t[23] = 2, 4, byte(mss>>8), byte(mss)
	return p
}

func announced(p []byte) int { return int(p[42])<<8 | int(p[43]) }

func headerOf(sequence uint32) wire.PacketHeader {
	return wire.PacketHeader{Part: wire.FirstHalf, Sequence: sequence}
}
