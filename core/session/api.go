// Package session is one tunnel between a client and the server: it takes
// inner packets, outer datagrams and the time, and gives outer datagrams,
// inner packets and the next deadline. Client and server run the same code.
//
// A Session is a plain state machine (the shape of raft's RawNode and of
// picoquic): it owns no goroutine, lock, socket or clock. Its driver calls
// one method at a time, passes the current time, does what Output says, and
// calls HandleTimeout when NextTimeout has come:
//
//	s.HandlePackets(now, batch, &out)   // from the TUN
//	s.HandleDatagrams(now, id, batch, &out)
//	for _, r := range out.Runs { send(r) }
//	tun.Write(out.Packets)
//	wait(s.NextTimeout())
//
// Inputs are borrowed until the call returns. What an Output refers to
// (including parts of the inputs, which are opened and forwarded in place)
// stays valid until that Output is passed to the session again, as long as
// the driver keeps the input's memory untouched. Bad input from the network is
// dropped and counted, never an error.
//
// The files follow a packet: send.go takes it from the TUN and dispatches it,
// receive.go opens it at the other end, report.go acknowledges it, repair.go
// sends it again when it is lost. realtime.go sends what wants low latency, calls.go
// says which calls do. links.go, liveness.go and path.go look after the links.
package session

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/seal"
)

// Strategy is how one end sends: all of it can be changed while running.
type Strategy struct {
	Scheduler   string // a name of package sched
	RateControl bool   // pace each link at its own estimated rate
	Retransmit  bool   // repair losses on the link level
	Equalize    string // EqualizeAuto, EqualizeOn or EqualizeOff
	Classifier  string // a name of package classify
	Reports     string // ReportsAuto or ReportsRare: on what this end receives
}

// Values of Strategy.Equalize.
const (
	EqualizeAuto = "auto"
	EqualizeOn   = "on"
	EqualizeOff  = "off"
)

// EqualizeModes lists the values of Strategy.Equalize.
func EqualizeModes() []string { return []string{EqualizeAuto, EqualizeOn, EqualizeOff} }

// Values of Strategy.Reports. With ReportsRare a busy link is reported on every
// link.AckDelay instead of every millisecond, to study what reports cost.
const (
	ReportsAuto = "auto"
	ReportsRare = "rare"
)

// ReportModes lists the values of Strategy.Reports.
func ReportModes() []string { return []string{ReportsAuto, ReportsRare} }

// Config is what a session is made of. The zero values of limits mean their
// defaults.
type Config struct {
	// Send is this end's way of sending; Reorder names the resequencer
	// (package reseq) that puts what the other end sends in order.
	Send    Strategy
	Reorder string
	// LearnPaths makes the session follow its peer's address on every link,
	// each new one after a path challenge (RFC 9000, section 8.2): the server.
	// Otherwise paths are what AddLink said: the client.
	LearnPaths bool
	// FollowLatency makes the session send the packets of a flow with low
	// latency as long as the peer does so with its half: the server.
	FollowLatency bool
	// MTU is the largest inner packet in bytes, for clamping MSS; 0:
	// wire.DefaultMTU.
	MTU int
	// QueueBytes bounds the packets that wait for a link; 0: 16 MiB, of
	// which one flow may take half: twice the product of 100 Mbit/s and 350 ms.
	QueueBytes int
	// Seed feeds whatever is drawn at random.
	Seed uint64
}

// LinkConfig describes a link that the control connection has agreed on.
type LinkConfig struct {
	ID   core.LinkID
	Name string
	// The keys of the two directions; they know their suite.
	SendKey    seal.Key
	ReceiveKey seal.Key
	PeerIndex  uint32 // the receiver index to send under
	Path       core.Path
	// Stream says that the driver can carry the link's datagrams over its
	// control connection, which a client does where UDP does not get through.
	Stream bool
	// RoundTrip is what answers over the control connection took; 0: not known. A
	// client waits accordingly for the first over UDP.
	RoundTrip time.Duration
	Policy    Policy
}

// Output is what the driver has to do after a call. The session resets it
// first, so a driver that has carried it out can pass it again.
type Output struct {
	// Runs are the datagrams to be sent, in order.
	Runs []Run
	// Packets are to be written to the TUN, in order.
	Packets []core.Packet
	// Changes are what has become of links, for people.
	Changes []Change

	open   [core.MaxLinks]building
	chunks [][]byte // memory of runs and packets, kept for reuse
	used   int
	held   []byte // packets that had to wait, back to back
}

// Run is one or more outer datagrams of one link: Data holds them back to
// back, each Segment bytes long but the last, which may be shorter.
type Run struct {
	Link    core.LinkID
	Path    core.Path
	Data    []byte
	Segment int
}
