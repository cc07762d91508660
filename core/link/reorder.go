package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// rememberLost is how many lost numbers a reorderGuard remembers.
const rememberLost = 64

// maxTolerance bounds how much reordering a link may excuse.
const maxTolerance = 60 * time.Millisecond

// reorderGuard notices datagrams that were called lost and came after all,
// and answers with a tolerance, as RACK does (RFC 8985, section 6.2).
type reorderGuard struct {
	tolerance time.Duration
	recent    [rememberLost]lostNumber
	n         int // recent[:min(n, len)] are set
	healAt    core.Time
}

type lostNumber struct {
	number uint64
	sent   core.Time
	at     core.Time // when it was called lost; 0: came
}

func (g *reorderGuard) lost(now core.Time, number uint64, sent core.Time) {
	g.recent[g.n%rememberLost] = lostNumber{number, sent, now}
	g.n++
}

// acked looks for lost numbers among those that arrived. The tolerance
// becomes what would have saved the latest of them; it halves after ten
// seconds without such a case.
func (g *reorderGuard) acked(now core.Time, a *wire.Ack, stats *SenderStats) {
	for i := range min(g.n, rememberLost) {
		l := &g.recent[i]
		if l.at == 0 || !contains(a.Ranges, l.number) {
			continue
		}
		stats.SpuriousLost++
		g.tolerance = min(max(g.tolerance, now.Sub(l.at)+2*time.Millisecond), maxTolerance)
		g.healAt = now.Add(10 * time.Second)
		l.at = 0
	}
	if g.tolerance > 0 && now >= g.healAt {
		g.healAt = now.Add(10 * time.Second)
		if g.tolerance /= 2; g.tolerance < time.Millisecond {
			g.tolerance = 0
		}
	}
}

func contains(rs []wire.Range, n uint64) bool {
	for _, r := range rs {
		if r.First <= n && n <= r.Last {
			return true
		}
	}
	return false
}
