package lab

import (
	"fmt"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// linkSpec is what the emulator needs to know of link i. It passes the
// bottlenecks that name it, in their order.
func linkSpec(sc *scenario.Scenario, i int) (emu.Spec, error) {
	l := sc.Links[i]
	s := emu.Spec{
		Link:     l.Name,
		Client:   emu.Port{Name: clientSide(i)},
		Server:   emu.Port{Name: serverSide(i)},
		UpSeed:   scenario.DeriveSeed(sc.Seed, l.Name, "up"),
		DownSeed: scenario.DeriveSeed(sc.Seed, l.Name, "down"),
	}
	var err error
	if s.Up, err = l.Up.LinkConfig(); err != nil {
		return s, fmt.Errorf("link %s, up: %w", l.Name, err)
	}
	if s.Down, err = l.Down.LinkConfig(); err != nil {
		return s, fmt.Errorf("link %s, down: %w", l.Name, err)
	}
	for _, b := range sc.Bottlenecks {
		for _, name := range b.Links {
			if name == l.Name {
				s.UpShared = append(s.UpShared, b.Name)
				s.DownShared = append([]string{b.Name}, s.DownShared...)
			}
		}
	}
	return s, nil
}
