package lab

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// linkConfig is an impairment as the link model takes it.
func linkConfig(im scenario.Impairment) (link.Config, error) {
	cfg := link.Config{
		Rate:      im.Rate,
		Delay:     im.Delay,
		Jitter:    im.Jitter,
		Loss:      link.Loss(im.Loss),
		Reorder:   im.Reorder,
		Duplicate: im.Duplicate,
		Corrupt:   im.Corrupt,
		Queue:     link.Queue(im.Queue),
		MTU:       im.MTU,
	}
	if im.Distribution == "normal" {
		cfg.Distribution = link.Normal
	}
	if im.Trace == "" {
		return cfg, nil
	}
	f, err := os.Open(im.Trace)
	if err != nil {
		return cfg, err
	}
	defer f.Close()
	if cfg.Trace, err = link.ParseTrace(f); err != nil {
		return cfg, fmt.Errorf("trace %s: %w", im.Trace, err)
	}
	return cfg, nil
}

// linkSpec is what the emulator needs to know of link i. It passes the
// bottlenecks that name it, in their order.
func linkSpec(sc *scenario.Scenario, i int) (emu.Spec, error) {
	l := sc.Links[i]
	s := emu.Spec{
		Link:     l.Name,
		Client:   emu.Port{Name: clientSide(i)},
		Server:   emu.Port{Name: serverSide(i)},
		UpSeed:   seedOf(sc.Seed, l.Name, "up"),
		DownSeed: seedOf(sc.Seed, l.Name, "down"),
	}
	var err error
	if s.Up, err = linkConfig(l.Up); err != nil {
		return s, fmt.Errorf("link %s, up: %w", l.Name, err)
	}
	if s.Down, err = linkConfig(l.Down); err != nil {
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

// seedOf derives the seed of a part of a run, so that a change to one part
// leaves the randomness of the others alone.
func seedOf(seed uint64, parts ...string) uint64 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, seed) // a hash takes everything
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
