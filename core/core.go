// Package core holds the words that every part of the tunnel shares: the
// time it lives in, the name of a link, the path a datagram takes and the
// packet that goes through it.
//
// What is pure below core (wire, seal, link, packet, queue, sched, reseq, classify,
// qos, gso, session) is a plain state machine: no goroutine, lock, socket or clock.
// Time is a parameter, randomness a seed. A test in this folder enforces it.
package core

import (
	"math"
	"net/netip"
	"time"
)

// Time is a moment on a monotonic clock of one host, in nanoseconds since an
// origin of that host's choosing. It is never compared with the time of
// another host. The zero value means "not set".
type Time int64

// Never is a deadline that does not come.
const Never Time = math.MaxInt64

// Add returns the moment d after t.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns the time that passed from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// LinkID names a link within its session, from 0 to MaxLinks-1. The client
// chooses it, and both ends use the same one.
type LinkID uint8

// MaxLinks bounds the links of one session.
const MaxLinks = 16

// FullPacket is the length of a full outer packet in bytes, from its IP header on:
// what a path of Ethernet's MTU carries. Windows, bursts and turns are counted in it.
const FullPacket = 1500

// Path is the pair of outer addresses a datagram travels between, as this
// host sees it. Local may be the zero address where the socket knows it.
type Path struct {
	Local  netip.Addr
	Remote netip.AddrPort
	// Stream: the datagrams go over the link's control connection instead, and
	// there are no addresses.
	Stream bool
}

// Packet is one inner IP packet, or a super-packet: several segments of one
// TCP or UDP flow that share one set of headers, as the kernel hands them
// over when segmentation is offloaded.
type Packet struct {
	// Data is the packet from the first byte of its IP header on. Of a
	// super-packet it is the headers once, then the payload of all segments.
	Data []byte
	// Segment is the number of transport payload bytes in each segment of a
	// super-packet (the last one may be shorter); 0 for an ordinary packet.
	Segment int
	// Partial says that the TCP or UDP checksum field holds only the sum
	// of the pseudo-header: the sum over the data is still to be added, by
	// whoever takes the packet out of the tunnel (or by its kernel). It is set
	// only where the transport header follows the IP header directly. A
	// super-packet is always Partial.
	Partial bool
}

// Datagram is one outer UDP payload as it was received.
type Datagram struct {
	Data []byte
	Path Path
	// Age is how long it had waited in this host when it was read, where the
	// host says so.
	Age time.Duration
}
