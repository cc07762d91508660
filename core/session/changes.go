package session

import "github.com/multilink-vpn/multilink/core"

// Change is news about a link, for people.
type Change struct {
	Link core.LinkID
	Name string // of the link
	// Was and Is are states of the link as in a Snapshot, which differ.
	Was, Is string
	// Backups says that it is not the state of a link that has changed, but
	// whether backups carry data: as Called says.
	Backups, Called bool
}

// tell adds to an output what has changed since the last one.
func (s *Session) tell(out *Output) {
	for _, l := range s.order {
		if l.health != l.told {
			out.Changes = append(out.Changes, Change{Link: l.id, Name: l.name, Was: l.told.String(), Is: l.health.String()})
			l.told = l.health
		}
	}
	if s.backups == s.toldBackups {
		return
	}
	s.toldBackups = s.backups
	for _, l := range s.order {
		if l.policy.Role == Backup && l.usable() {
			out.Changes = append(out.Changes, Change{Link: l.id, Name: l.name, Backups: true, Called: s.backups})
		}
	}
}
