package virtual

import (
	"fmt"
	"time"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// checkAction says whether an action of a timeline can be done.
func checkAction(a scenario.Action) error {
	switch a.Do {
	case "kill-server", "start-server", "kill-client", "start-client", "suspend-client", "resume-client":
		return fmt.Errorf("timeline: %s is %w", a.Do, ErrUnsupported)
	}
	return checkKeys(a.Client)
}

// Do carries out an action of a timeline now, but for reload-client, which is
// SetStrategies.
func (s *Simulation) Do(a scenario.Action) error {
	l := s.Link(a.Link)
	if l == nil {
		return fmt.Errorf("no link is named %q", a.Link)
	}
	switch a.Do {
	case "blackhole", "restore":
		for _, d := range directions(a.Direction) {
			l.blackhole(d, a.Do == "blackhole")
		}
	case "unplug", "down":
		l.detach()
	case "plug", "up":
		if !l.attached {
			l.attach()
		}
	case "readdress", "rebind":
		l.move()
	case "set":
		for d, im := range [...]*scenario.Impairment{Up: a.Up, Down: a.Down} {
			if im == nil {
				continue
			}
			if err := l.own[d].set(*im); err != nil {
				return fmt.Errorf("link %s, %s: %w", l.Name, Direction(d), err)
			}
		}
	default:
		return fmt.Errorf("action %q is %w", a.Do, ErrUnsupported)
	}
	return nil
}

func directions(name string) []Direction {
	switch name {
	case "up":
		return []Direction{Up}
	case "down":
		return []Direction{Down}
	}
	return []Direction{Up, Down}
}

// SetStrategies changes how the two ends work.
func (s *Simulation) SetStrategies(clientSide, serverSide Strategy) error {
	if err := s.ends[client].setStrategy(clientSide); err != nil {
		return err
	}
	return s.ends[server].setStrategy(serverSide)
}

// recovery measures how long it takes from the last action of a timeline until
// a datagram of the tunnel comes through on a link that the timeline changed.
type recovery struct {
	clock   *clock
	changed map[*Link]bool // nil: not yet
	since   int64
	at      int64
	done    bool
}

// arm starts the measurement at the last action.
func (s *Simulation) arm(timeline []scenario.Action) {
	s.recovery = recovery{clock: &s.clock, changed: map[*Link]bool{}, since: s.clock.now}
	for _, a := range timeline {
		if a.Link != "" {
			s.recovery.changed[s.Link(a.Link)] = true
		}
	}
}

// see is told of every datagram that came through.
func (r *recovery) see(l *Link) {
	if !r.done && r.changed[l] {
		r.at, r.done = r.clock.now, true
	}
}

// seconds is what was measured, if anything was.
func (r *recovery) seconds() (float64, bool) {
	return time.Duration(r.at - r.since).Seconds(), r.done
}
