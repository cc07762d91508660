package sched

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Constants of activeBackup.
const (
	// delayTarget is the round-trip time from which a link misses its target:
	// twice the one-way delay up to which conversation is unharmed (ITU-T
	// G.114). delayReturn is what it must come back to.
	delayTarget = 300 * time.Millisecond
	delayReturn = 240 * time.Millisecond
	// lossTarget is the share lost from which a link misses its target: a call
	// with concealment falls below a MOS of 4 (ITU-T G.107). It is taken over
	// lossInterval, and longer while less than lossSample bytes were sent.
	lossTarget   = 0.05
	lossInterval = time.Second
	lossSample   = 10_000
	// returnFirst is how long a link must meet its targets before it is used
	// again. It doubles up to returnMost each time the link fails soon again,
	// since a bad link without load often looks well.
	returnFirst = 3 * time.Second
	returnMost  = time.Minute
)

// activeBackup sends everything on one link: the first by order that meets its
// targets of delay and loss, active links before backups. It moves on at once
// when the link misses them, is silent or goes, and fails back when an earlier
// link has met them for a while. Where none does, the order decides. It is what
// SD-WAN products call failover by performance, and bonding in Linux mode 1,
// active-backup (Documentation/networking/bonding.rst), which knows no targets.
//
// Unlike the other schedulers it uses a backup beside an active link that
// misses its targets: that is its purpose.
type activeBackup struct {
	links [core.MaxLinks]standing
}

func (*activeBackup) Name() string { return "active-backup" }

func (s *activeBackup) Pick(v *View) (Choice, core.Time, bool) {
	s.observe(v)
	var best *Link
	for i := range v.Links {
		if l := &v.Links[i]; best == nil || s.before(l, best) {
			best = l
		}
	}
	switch {
	case best == nil:
		return Choice{}, core.Never, false
	case !best.Open:
		return Choice{}, best.OpensAt, false
	}
	return Choice{Count: v.Queue.Len(), Links: Of(best.ID)}, 0, true
}

// observe brings the standing of every link up to date, also of those that are
// not there.
func (s *activeBackup) observe(v *View) {
	var there [core.MaxLinks]*Link
	for i := range v.Links {
		there[v.Links[i].ID] = &v.Links[i]
	}
	for id := range s.links {
		s.links[id].observe(v.Now, there[id])
	}
}

// before tells whether a is to be used rather than b, which comes before it by
// ID if their roles are equal.
func (s *activeBackup) before(a, b *Link) bool {
	if ra, rb := s.links[a.ID].rank(a), s.links[b.ID].rank(b); ra != rb {
		return ra < rb
	}
	return b.Backup && !a.Backup
}

// standing is what is held of one link.
type standing struct {
	seen  bool
	tally tally
	start core.Time // of the interval of loss
	lossy bool      // by the last interval

	out   bool          // missed a target and has not returned
	wait  time.Duration // it must meet them for so long to return
	good  core.Time     // since when it does, while out; 0: it does not
	since core.Time     // when it returned
}

// observe takes in how a link does; l is nil when it is not there.
func (s *standing) observe(now core.Time, l *Link) {
	switch {
	case l == nil && !s.seen:
		return
	case l == nil || s.misses(now, l):
		s.fail()
	case s.out:
		s.recover(now)
	case s.wait > 0 && now.Sub(s.since) >= returnMost:
		s.wait = 0
	}
}

// misses tells whether a link misses a target.
func (s *standing) misses(now core.Time, l *Link) bool {
	if !s.seen {
		s.seen, s.start = true, now
		s.tally.restart(l)
	}
	if now.Sub(s.start) >= lossInterval {
		if acked, lost := s.tally.since(l); s.out || acked+lost >= lossSample {
			s.lossy = float64(lost) > lossTarget*float64(acked+lost)
			s.start = now
			s.tally.restart(l)
		}
	}
	limit := delayTarget
	if s.out {
		limit = delayReturn
	}
	return l.Suspect || s.lossy || l.Known && l.SRTT > limit
}

func (s *standing) fail() {
	if !s.out {
		s.out = true
		s.wait = max(returnFirst, min(2*s.wait, returnMost))
	}
	s.good = 0
}

func (s *standing) recover(now core.Time) {
	if s.good == 0 {
		s.good = now
	}
	if now.Sub(s.good) >= s.wait {
		s.out, s.since = false, now
	}
}

// rank orders links by how much they are to be trusted, best first.
func (s *standing) rank(l *Link) int {
	switch {
	case !s.out:
		return 0
	case s.good != 0:
		return 1 // it meets its targets, but not yet for long
	case !l.Suspect:
		return 2
	}
	return 3
}

func (*activeBackup) Sent(core.Time, core.LinkID, int) {}
