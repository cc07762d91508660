// Package emu impairs the links of a testbed in real time.
//
// The veth pairs of the topology end in a namespace in the middle. There an
// Impairer carries frames between the two ports of each link, as the link's
// configuration says. There are two:
//
//   - NewUser, the default, runs the models of package link in user space, on
//     one thread between AF_PACKET sockets (or TAP devices). Its drops, queues
//     and seeds are those of the virtual-time simulator.
//   - NewNetem leaves the work to the kernel's netem and tbf, where it has them.
//     It is the cross-check and the choice above about 1 Gbit/s.
//
// In user space the fate of the n-th packet of a direction repeats with the
// seed; the order in which packets arrive at the emulator does not.
//
// # How the user backend keeps time
//
// The thread sleeps in ppoll(2) until a frame arrives or the earliest
// departure of all models is due; after it has moved frames it leaves those
// that follow closely for the next round, 150 µs later (not with Spin). A frame counts as arrived at its kernel
// receive timestamp, not when the thread woke. Departures are computed, never
// slept for: a late thread sends late, and the next departures are where they
// would have been, so that rates are exact. To be late rarely on a machine that
// is busy with what is tested, the thread has processor time reserved, and its
// process the highest priority (package tune). How late it was is in Health; a
// run that was too late proves nothing and is inconclusive.
package emu

import (
	"errors"
	"fmt"
	"time"

	"github.com/multilink-vpn/multilink/sim/link"
)

// Direction is one of the two directions of a link.
type Direction uint8

// The directions. Up is from the client to the server.
const (
	Up Direction = iota
	Down
)

func (d Direction) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// Port is where a link's frames enter and leave the emulator.
type Port struct {
	// Name is an interface of the middle namespace. Its peer must have been
	// treated with DisableTxChecksum.
	Name string
	// TAP is used instead of Name when it is set. Detach and Close close it.
	TAP *TAP
}

// Spec is a link: two ports and what happens between them.
type Spec struct {
	Link             string
	Client, Server   Port
	Up, Down         link.Config
	UpSeed, DownSeed uint64
	// UpShared and DownShared are the bottlenecks that the direction passes,
	// in the order of passing: upwards behind the link's own model, downwards
	// before it.
	UpShared, DownShared []string
}

// Impairer carries the frames of all links of a testbed. Its methods may be
// called from any goroutine.
type Impairer interface {
	// Attach starts a link, also while others run. Attached again after
	// Detach, a link goes on with its counters and its random streams; its
	// seeds are those of the first time.
	Attach(Spec) error
	// Detach ends a link, because its interfaces go away. Packets inside are
	// dropped. The counters stay.
	Detach(link string) error
	// Set changes a direction of a link, also of one that is detached.
	Set(link string, dir Direction, cfg link.Config) error
	// Blackhole makes packets that enter a direction vanish, or ends that.
	// Packets that are inside go on.
	Blackhole(link string, dir Direction, on bool) error
	// Bottleneck makes a router that links share, or changes it. Links name
	// it in their Spec.
	Bottleneck(name string, up, down link.Config) error
	// Stats returns the counters of a link, or of a bottleneck.
	Stats(name string, dir Direction) (link.Stats, error)
	// Health says how well the emulator did since it was made.
	Health() Health
	// Close ends everything, and returns when it has ended.
	Close() error
}

// Options are for both backends; the zero value is usual.
type Options struct {
	// Spin makes the user backend's thread busy-wait the last 50 µs before a
	// departure, instead of having processor time reserved. It is the more
	// exact way on a machine with a core to spare, and the worse one on a busy
	// one.
	Spin bool
	// Seed is that of the bottlenecks' impairments.
	Seed uint64
	// PcapSink gets every frame that enters a link and every one that leaves
	// (user backend only). It runs on the emulator's thread and must be quick;
	// the frame is the emulator's again when it returns.
	PcapSink func(Captured)
}

// Captured is one frame seen by a PcapSink.
type Captured struct {
	Link  string
	Dir   Direction
	Left  bool // false: it enters the link, true: it leaves
	At    time.Time
	Frame []byte // from the Ethernet header on
}

// MaxMTU is the largest IP packet the user backend carries.
const MaxMTU = 2000

// Errors of an Impairer.
var (
	ErrClosed      = errors.New("the emulator is closed")
	ErrUnknown     = errors.New("no such link or bottleneck")
	ErrAttached    = errors.New("the link is attached already")
	ErrUnsupported = errors.New("the netem backend cannot do this; use the user backend")
)

// checkConfig refuses what the user backend cannot carry.
func checkConfig(name string, cfg *link.Config) error {
	if cfg.MTU > MaxMTU {
		return fmt.Errorf("link %s: mtu %d: the emulator carries packets of up to %d bytes", name, cfg.MTU, MaxMTU)
	}
	return nil
}
