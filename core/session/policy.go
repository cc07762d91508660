package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Role is what the user wants of a link.
type Role uint8

// The roles.
const (
	Active Role = iota // carries data
	Backup             // carries data when no active link can, or none well
	Off                // carries none
)

func (r Role) String() string { return [...]string{"active", "backup", "off"}[r] }

// Policy is what the user allows a link, in this end's sending direction.
type Policy struct {
	Role Role
	// Cap limits what is sent, in bytes/s with outer headers; 0: no limit.
	Cap float64
	// MaxRTT and MaxLoss (a share of 1) are what an active link must not
	// exceed for the backups to be left alone; 0: no such limit.
	MaxRTT  time.Duration
	MaxLoss float64
}

// When an active link counts as poor, and when no longer: not for a moment, and
// not at the limit itself, or the backups would come and go.
const (
	poorAfter   = time.Second
	goodAfter   = 5 * time.Second
	returnShare = 0.8 // of its limits that a poor link must come back to
)

// quality is how an active link does against the limits of its policy.
type quality struct {
	poor  bool
	since core.Time // since when it has done the opposite of poor; 0: it has not
}

// SetPolicy changes what a link is used for.
func (s *Session) SetPolicy(now core.Time, id core.LinkID, p Policy, out *Output) {
	s.begin(now, out)
	if id < core.MaxLinks && s.links[id] != nil {
		s.links[id].obey(p)
		s.finish(out)
	}
}

func (l *linkState) obey(p Policy) {
	l.policy = p
	l.tx.SetCap(p.Cap)
	if p.MaxRTT == 0 && p.MaxLoss == 0 {
		l.quality = quality{}
	}
}

// grade judges a link by its limits.
func (l *linkState) grade(now core.Time) {
	p, q := l.policy, &l.quality
	if p.MaxRTT == 0 && p.MaxLoss == 0 {
		return
	}
	e := l.tx.Estimate()
	share := 1.0
	if q.poor {
		share = returnShare
	}
	poor := p.MaxRTT > 0 && float64(e.SRTT) > share*float64(p.MaxRTT) ||
		p.MaxLoss > 0 && e.Loss > share*p.MaxLoss
	switch {
	case poor == q.poor:
		q.since = 0
	case q.since == 0:
		q.since = now
	case poor && now.Sub(q.since) >= poorAfter, !poor && now.Sub(q.since) >= goodAfter:
		*q = quality{poor: poor}
	}
}

// callBackups decides whether backups carry data: when no active link does
// well enough. A silent one does not: to wait until it is down would cost a
// conversation as much time again, and one that is left with a stream carries
// nothing beside a backup.
func (s *Session) callBackups() {
	s.backups = true
	for _, l := range s.order {
		l.grade(s.now)
		if l.policy.Role == Active && s.eligible(l) && l.health != suspect && !l.quality.poor {
			s.backups = false
		}
	}
}

// reserved says that a link is a backup that is not needed.
func (s *Session) reserved(l *linkState) bool { return l.policy.Role == Backup && !s.backups }
