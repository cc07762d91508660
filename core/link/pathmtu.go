package link

import (
	"math"
	"slices"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Sizes of outer IP packets, in bytes.
const (
	// BaseMTU is what a path is taken to carry before anything is known (IPv6
	// demands it of every link, RFC 8200 section 5).
	BaseMTU = 1280
	// FloorMTU is what is left when a path drops even that: both halves of any
	// inner packet fit.
	FloorMTU = 800
	// commonMTU is tried besides the largest size: tunnels and mobile networks
	// often leave about that much.
	commonMTU = 1400
	// mtuGrain is the difference that is not worth another probe.
	mtuGrain = 4
)

// Timing of the search (RFC 8899 section 5.1).
const (
	mtuTries = 5 // proven losses before a size is taken not to pass, at least
	mtuAgain = time.Second
	mtuRaise = 10 * time.Minute
	// holeCount big packets in a row must be lost, and a small one that was sent
	// among them come, to suspect that the path has shrunk: an outage takes both,
	// and a full queue does not drop so many.
	holeCount = 8
	// mtuChance is how likely it may be that a size was given up by chance alone,
	// and mtuWorst the loss that chance explains at most: 20 losses in a row.
	mtuChance = 1e-6
	mtuWorst  = 0.5
)

// target is a size that is being probed.
type target struct {
	size   int
	tries  int
	number uint64
	flying bool
}

// pathMTU finds the largest outer packet that a path carries, without help of
// the network (RFC 8899). It probes the largest size, when that is lost a few
// likely ones besides, then halves the interval between what passes and what
// does not. Only a loss that a later arrival proves counts against a size, and
// only more of them than the link's own loss explains. When big packets vanish
// while small ones come, the search begins again from the base; that the path has
// shrunk is certain when a size that passed before is given up (RFC 8899 section
// 4.3: data shows it, probes confirm it).
type pathMTU struct {
	size    int  // passes, or is assumed to
	need    int  // the largest size of use; 0: no search, and no limit
	failed  int  // the least that does not pass; need+1: none is known
	small   bool // larger sizes were found not to pass
	doubted int  // passed until big packets vanished; 0: no doubt
	targets []target
	next    core.Time // when to probe the next target that is not flying

	// Of black hole detection, as link numbers.
	bigNext    uint64 // what follows the highest big one that came
	smallAcked uint64 // the highest small one that came
	bigLost    int    // from bigNext on
	firstLost  uint64 // of those
	pivot      uint64 // a small one that came and was sent after it; 0: none did
	after      int    // of bigLost, sent after that

	probes, holes uint64
}

// begin starts the search anew, for a path of which nothing is known.
func (m *pathMTU) begin(now core.Time, need, size int) {
	m.need, m.size, m.small, m.doubted = need, min(size, need), false, 0
	m.raise(now)
}

// raise looks for sizes above the present one.
func (m *pathMTU) raise(now core.Time) {
	m.failed, m.next = m.need+1, now
	m.targets = append(m.targets[:0], target{size: m.need})
	m.proceed(now)
}

// proceed decides what is probed next when the targets are settled.
func (m *pathMTU) proceed(now core.Time) {
	m.targets = slices.DeleteFunc(m.targets, func(t target) bool { return t.size <= m.size || t.size >= m.failed })
	switch {
	case len(m.targets) > 0:
	case m.searching():
		m.targets = append(m.targets, target{size: (m.size + m.failed) / 2})
		m.next = now
	default:
		m.next = now.Add(mtuRaise)
	}
}

func (m *pathMTU) searching() bool { return m.size < m.need && m.failed-m.size > mtuGrain }

// due is when something is to be done; core.Never while answers are awaited.
func (m *pathMTU) due() core.Time {
	switch {
	case m.need == 0, m.size >= m.need:
		return core.Never
	case len(m.targets) > 0 && !slices.ContainsFunc(m.targets, func(t target) bool { return !t.flying }):
		return core.Never
	}
	return m.next
}

// probe returns the next size to be probed, which leaves under number. ok is
// false when there is none now.
func (m *pathMTU) probe(now core.Time, number uint64) (size int, ok bool) {
	if m.due() > now {
		return 0, false
	}
	if len(m.targets) == 0 {
		m.raise(now)
	}
	for i := range m.targets {
		if t := &m.targets[i]; !t.flying {
			t.flying, t.number = true, number
			m.probes++
			return t.size, true
		}
	}
	return 0, false
}

// answered takes note of a probe that came.
func (m *pathMTU) answered(now core.Time, number uint64) {
	if i := m.find(number); i >= 0 {
		m.size = max(m.size, m.targets[i].size)
		m.small = m.small && m.size < m.need
		if m.size >= m.doubted {
			m.doubted = 0
		}
		m.proceed(now)
	}
}

// unanswered takes note of a probe that did not come; proven says that a later
// datagram did, and loss is the share that the link loses.
func (m *pathMTU) unanswered(now core.Time, number uint64, proven bool, loss float64) {
	i := m.find(number)
	if i < 0 {
		return
	}
	t := &m.targets[i]
	t.flying = false
	if !proven {
		m.next = now.Add(mtuAgain)
		return
	}
	m.next = now
	t.tries++
	switch {
	case t.tries >= mtuTries && math.Pow(min(loss, mtuWorst), float64(t.tries)) <= mtuChance:
		if t.size <= m.doubted {
			m.holes++
			m.doubted = 0
		}
		m.failed, m.small = min(m.failed, t.size), true
		m.proceed(now)
	case t.tries == 1 && t.size == m.need:
		m.targets = append(m.targets, target{size: commonMTU}, target{size: BaseMTU})
		m.proceed(now) // drops those of no use
	}
}

func (m *pathMTU) find(number uint64) int {
	return slices.IndexFunc(m.targets, func(t target) bool { return t.flying && t.number == number })
}

// came takes note of a datagram that was acknowledged.
func (m *pathMTU) came(number uint64, size int) {
	if size <= FloorMTU {
		m.smallAcked = max(m.smallAcked, number)
		return
	}
	if m.bigNext = max(m.bigNext, number+1); number > m.firstLost {
		m.forget()
	}
}

// forget ends a series of lost big packets.
func (m *pathMTU) forget() { m.bigLost, m.pivot, m.after = 0, 0, 0 }

// vanished takes note of a datagram that was lost; next is the next number.
func (m *pathMTU) vanished(now core.Time, number, next uint64, size int) {
	if size <= FloorMTU || number < m.bigNext || m.need == 0 {
		return
	}
	if m.bigLost == 0 || number < m.firstLost {
		m.firstLost = number
	}
	m.bigLost++
	switch {
	case m.pivot > 0 && number > m.pivot:
		m.after++
	case m.pivot == 0 && m.smallAcked > m.firstLost:
		m.pivot = m.smallAcked
	}
	if m.bigLost < holeCount || m.after == 0 {
		return
	}
	m.forget()
	m.bigNext = next // what is on its way was sent before this was known
	least := BaseMTU
	if m.size <= BaseMTU {
		least = FloorMTU
	}
	passed, small := max(m.size, m.doubted), m.small
	m.begin(now, m.need, least)
	m.doubted, m.small = passed, small
}

// SearchMTU begins to search the path MTU anew; need is the largest outer
// packet of use, in bytes. 0 ends the search: the path has no limit.
func (s *Sender) SearchMTU(now core.Time, need int) {
	s.mtu.begin(now, need, BaseMTU)
}

// MTU is the largest outer packet that passes, in bytes; 0: there is no limit.
// small says that larger ones were found not to.
func (s *Sender) MTU() (size int, small bool) {
	return s.mtu.size, s.mtu.small
}

// FoundMTU is the largest outer packet that the path was found to carry, in
// bytes; 0: all that is of use. found is false while the search goes on.
func (s *Sender) FoundMTU() (size int, found bool) {
	m := &s.mtu
	switch {
	case m.size >= m.need:
		return 0, true
	case len(m.targets) > 0 || m.searching():
		return 0, false
	}
	return m.size, true
}

// MTUProbeDue is when the path MTU is to be probed next.
func (s *Sender) MTUProbeDue() core.Time { return s.mtu.due() }

// MTUProbe returns the size of a probe that is to be sent now as NextNumber,
// and records it. Neither the probe nor its loss counts for window, rate or
// silence (RFC 8899 section 3, item 7).
func (s *Sender) MTUProbe(now core.Time) (size int, ok bool) {
	size, ok = s.mtu.probe(now, s.next)
	if ok {
		s.limit.sent(now, size)
		s.record(record{at: now, probe: true})
		s.stats.Bytes += uint64(size)
	}
	return size, ok
}
