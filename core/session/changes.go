package session

import "github.com/multilink-vpn/multilink/core"

// ChangeKind says what a Change is about.
type ChangeKind uint8

// The kinds.
const (
	StateChanged     ChangeKind = iota // of the link: Was and Is
	BackupCalled                       // this backup carries data
	BackupReleased                     // it does no more
	TransportChanged                   // of the link's datagrams: Was and Is
	PathMTUChanged                     // what the path carries: PMTU
)

// Change is news about a link, for people.
type Change struct {
	Link core.LinkID
	Name string // of the link
	Kind ChangeKind
	// Was and Is differ. They are as in a Snapshot.
	Was, Is string
	// PMTU is the largest outer packet that the path was found to carry in the
	// sending direction, in bytes; 0: all that the tunnel sends.
	PMTU int
}

// told is what Changes have told of a link.
type told struct {
	health health
	stream bool
	pmtu   int
	called bool
}

// tell adds to an output what has changed since the last one.
func (s *Session) tell(out *Output) {
	for _, l := range s.order {
		s.tellLink(l, out)
	}
}

func (s *Session) tellLink(l *linkState, out *Output) {
	t := &l.told
	// That a link begins anew, with other keys or another transport, is no news
	// until it is known how.
	if l.health != t.health && l.health != probing {
		out.Changes = append(out.Changes, Change{Link: l.id, Name: l.name, Was: t.health.String(), Is: l.health.String()})
		t.health = l.health
	}
	if l.streaming() != t.stream {
		was := transport(t.stream)
		t.stream = l.streaming()
		out.Changes = append(out.Changes, Change{Link: l.id, Name: l.name, Kind: TransportChanged, Was: was, Is: transport(t.stream)})
	}
	if size, found := l.tx.FoundMTU(); found && size != t.pmtu {
		t.pmtu = size
		out.Changes = append(out.Changes, Change{Link: l.id, Name: l.name, Kind: PathMTUChanged, PMTU: size})
	}
	s.tellBackup(l, out)
}

// tellBackup says when a backup begins and ceases to carry data.
func (s *Session) tellBackup(l *linkState, out *Output) {
	t := &l.told
	called := s.backups && l.policy.Role == Backup && (t.called || l.usable())
	if called == t.called {
		return
	}
	t.called = called
	kind := BackupReleased
	if called {
		kind = BackupCalled
	}
	out.Changes = append(out.Changes, Change{Link: l.id, Name: l.name, Kind: kind})
}

// transport is what carries a link's datagrams.
func transport(stream bool) string {
	if stream {
		return "tcp"
	}
	return "udp"
}
