package virtual

import (
	"fmt"

	"github.com/multilink-vpn/multilink/sim/scenario"
)

// checkAction says whether an action of a timeline can be done.
func checkAction(a scenario.Action) error {
	switch a.Do {
	case "kill-server", "start-server", "kill-client", "start-client":
		return fmt.Errorf("timeline: %s is %w", a.Do, ErrUnsupported)
	}
	return nil
}

// Do carries out an action of a timeline now, but for reload-client, which is
// SetStrategies.
func (s *Simulation) Do(a scenario.Action) error {
	l := s.Link(a.Link)
	if l == nil {
		return fmt.Errorf("no link is named %q", a.Link)
	}
	l.watch, l.recovered = s.clock.now, never
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

// RecoveredIn is how long after the last action on a link the first datagram
// came through that was sent after it; false if none has.
func (l *Link) RecoveredIn() (seconds float64, ok bool) {
	if l.recovered == never {
		return 0, false
	}
	return float64(l.recovered-l.watch) / 1e9, true
}
