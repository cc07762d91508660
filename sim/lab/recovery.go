package lab

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// recovery measures how long it takes from the last action of a timeline until
// a datagram of the tunnel comes through on a link that the timeline changed.
// The emulator shows it all frames.
type recovery struct {
	mu      sync.Mutex
	changed map[string]bool // nil: not yet
	since   time.Time
	took    time.Duration
	done    bool
}

// arm starts the measurement at the last action.
func (r *recovery) arm(timeline []scenario.Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.changed = time.Now(), map[string]bool{}
	for _, a := range timeline {
		if a.Link != "" {
			r.changed[a.Link] = true
		}
	}
}

// see looks at a frame in the emulator.
func (r *recovery) see(c emu.Captured) {
	if !c.Left {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done || !r.changed[c.Link] || c.At.Before(r.since) || !isDatagram(c.Frame) {
		return
	}
	r.took, r.done = c.At.Sub(r.since), true
}

// seconds is what was measured, if anything was.
func (r *recovery) seconds() (float64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.took.Seconds(), r.done
}

// isDatagram says whether an Ethernet frame carries UDP to or from the
// server's port.
func isDatagram(frame []byte) bool {
	const ethernet = 14
	if len(frame) < ethernet+20 {
		return false
	}
	ip := frame[ethernet:]
	header, protocol := 40, ip[6]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		header, protocol = int(ip[0]&0x0f)*4, ip[9]
	case unix.ETH_P_IPV6:
	default:
		return false
	}
	if protocol != unix.IPPROTO_UDP || len(ip) < header+8 {
		return false
	}
	return binary.BigEndian.Uint16(ip[header:]) == serverPort || binary.BigEndian.Uint16(ip[header+2:]) == serverPort
}
