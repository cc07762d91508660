package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// rememberLost is how many lost numbers a reorderGuard remembers.
const rememberLost = 64

// maxTolerance bounds how much an allowance may excuse.
const maxTolerance = 60 * time.Millisecond

// reorderGuard notices datagrams that were called lost and came after all. Those
// that a later one had overtaken show a link that reorders: it gets a tolerance, as
// RACK does (RFC 8985, section 6.2). Those that were merely answered late, as when
// a report is lost, show nothing of the order: only age proves their like lost later.
type reorderGuard struct {
	tolerance allowance // for what a later datagram has overtaken
	patience  allowance // for what is not answered
	recent    [rememberLost]lostNumber
	n         int // recent[:min(n, len)] are set
	aged      [agedMarks]agedMark
	nAged     int // as n
}

// agedMarks times agedEvery is how late an answer may be and tell how late it is.
const (
	agedMarks = 32
	agedEvery = 10 * time.Millisecond
)

// agedMark says that all below a number had been answered or called lost by then.
type agedMark struct {
	below uint64
	at    core.Time
}

type lostNumber struct {
	number uint64
	at     core.Time // when it was called lost; 0: came
	passed bool      // a later one had arrived by then
}

// allowance is what would have saved the latest of what was called lost too early.
// It halves after ten seconds without such a case.
type allowance struct {
	by     time.Duration
	healAt core.Time
}

const allowanceLife = 10 * time.Second

func (a *allowance) raise(now core.Time, late time.Duration) {
	a.by = min(max(a.by, late+2*time.Millisecond), maxTolerance)
	a.healAt = now.Add(allowanceLife)
}

func (a *allowance) heal(now core.Time) {
	if a.by == 0 || now < a.healAt {
		return
	}
	a.healAt = now.Add(allowanceLife)
	if a.by /= 2; a.by < time.Millisecond {
		a.by = 0
	}
}

func (g *reorderGuard) lost(now core.Time, number uint64, passed bool) {
	g.recent[g.n%rememberLost] = lostNumber{number, now, passed}
	g.n++
}

// acked looks for lost numbers among those that arrived.
func (g *reorderGuard) acked(now core.Time, a *wire.Ack, stats *SenderStats) {
	for i := range min(g.n, rememberLost) {
		l := &g.recent[i]
		if l.at == 0 || !contains(a.Ranges, l.number) {
			continue
		}
		stats.SpuriousLost++
		if l.passed {
			g.tolerance.raise(now, now.Sub(l.at))
		} else {
			g.patience.raise(now, now.Sub(l.at))
		}
		l.at = 0
	}
	g.tolerance.heal(now)
	g.patience.heal(now)
}

// agedBelow notes that all below a number have been answered or called lost.
func (g *reorderGuard) agedBelow(now core.Time, below uint64) {
	if g.nAged > 0 && now.Sub(g.aged[(g.nAged-1)%agedMarks].at) < agedEvery {
		return
	}
	g.aged[g.nAged%agedMarks] = agedMark{below, now}
	g.nAged++
}

// late takes the first answer about a number that had been called lost for its age,
// and returns how long before it was, 0 if that is not known any more.
func (g *reorderGuard) late(now core.Time, number uint64) time.Duration {
	for i := max(0, g.nAged-agedMarks); i < g.nAged; i++ {
		if m := g.aged[i%agedMarks]; m.below > number {
			g.patience.raise(now, now.Sub(m.at))
			return now.Sub(m.at)
		}
	}
	return 0
}

func contains(rs []wire.Range, n uint64) bool {
	for _, r := range rs {
		if r.First <= n && n <= r.Last {
			return true
		}
	}
	return false
}
