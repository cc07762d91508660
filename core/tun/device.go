// Package tun is the tunnel's end in the kernel: a TUN device that hands over
// the packets the host routes into the tunnel and takes those that come out.
//
// It has two versions. The fast one puts a virtio-net header before each
// packet, so that the kernel hands over and takes super-packets and leaves
// checksums undone; it reads and writes in batches. The portable one, on
// songgao/water, moves one packet per system call. NewPipe is a device in
// memory for tests.
package tun

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/multilink-vpn/multilink/core"
)

// Mode selects the version of the device.
type Mode string

// The modes. ModeAuto takes the fast one where the kernel can do it.
const (
	ModeAuto     Mode = "auto"
	ModeFast     Mode = "fast"
	ModePortable Mode = "portable"
)

// Options say what device to open.
type Options struct {
	// Name is the interface's name, at most 15 bytes.
	Name string
	// MTU is set on the interface, in bytes; 0 leaves the kernel's.
	MTU int
	// Mode is ModeAuto when empty.
	Mode Mode
	// Ways is over how many queues the packets of each kind are spread, by their
	// destination, where the kernel can do it; 0 is 1.
	Ways int
}

// Device is one TUN interface.
type Device interface {
	// Name is the interface's name.
	Name() string
	// Queues are the ways to and from the kernel, at least one. Each wants a reader
	// of its own, all of the time.
	Queues() []Queue
	// Info says how the device works.
	Info() Info
	// Counters may be called at any time.
	Counters() Counters
	// Close removes the interface and ends a Read that waits.
	Close() error
}

// Queue holds packets that the kernel hands over, some of all, and takes any for the
// kernel. All queues can be read and written to at the same time. No flow from the
// kernel is spread over queues, but that TCP segments without payload have a queue of
// their own. No flow to the kernel may be: where it is forwarded to a network card
// with several queues, that of the TUN says which (skb_tx_hash of net/core/dev.c).
type Queue interface {
	// Read waits for a packet, then takes what else is there, up to a bound.
	// The batch's packets are valid until the next Read with that batch. After
	// Close, and in a Read that Close interrupts, it returns os.ErrClosed.
	Read(b *Batch) error
	// Write delivers packets in order, joined to super-packets where the
	// device can. It may change their bytes; it keeps none of them. Packets
	// that cannot be delivered are counted and are no error.
	Write(pkts []core.Packet) error
}

// Info says how a device works.
type Info struct {
	Mode Mode `json:"mode"` // ModeFast or ModePortable
	// Offloads are those in use: csum, tso4, tso6, uso4, uso6.
	Offloads []string `json:"offloads"`
	// Queues is how many queues of packets from the kernel there are.
	Queues int `json:"queues"`
	// MaxSegments bounds the segments of a super-packet the kernel hands over;
	// 0 is the kernel's own bound.
	MaxSegments int `json:"max_segments,omitempty"`
	// Reason says why not everything is in use, where that is so.
	Reason string `json:"reason,omitempty"`
}

// Open makes the interface, or takes an existing persistent one that nobody
// uses. The interface is not set up and has no address.
func Open(o Options) (Device, error) { return open(o, kernel{offloadLadder, loadSteering}) }

// kernel is what is tried of the kernel; tests leave some of it out.
type kernel struct {
	ladder []offload
	// steering loads the program that chooses queues.
	steering func(ways int) (*ebpf.Program, error)
}

func open(o Options, k kernel) (Device, error) {
	if err := checkName(o.Name); err != nil {
		return nil, err
	}
	switch o.Mode {
	case ModeFast:
		return openFast(o, k)
	case ModePortable:
		return openPortable(o, "portable mode was asked for")
	case ModeAuto, "":
		d, err := openFast(o, k)
		if errors.Is(err, errNoFastMode) {
			return openPortable(o, err.Error())
		}
		return d, err
	}
	return nil, fmt.Errorf("tun: unknown mode %q: it is auto, fast or portable", o.Mode)
}
