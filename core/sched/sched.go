// Package sched decides which link carries which packet. A scheduler is asked
// while packets wait and links are open, looks at a View, and names the next
// packets and the links for them: binding is as late as can be.
//
// A new scheduler is one file and one line in the table below; docs/schedulers.md
// shows how.
package sched

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Link is what a scheduler may know of a link that can carry data.
type Link struct {
	ID core.LinkID
	// Open: window and pacer let a full packet leave now. Where it is false,
	// OpensAt is when the pacer will (core.Never: when an acknowledgement
	// has come).
	Open    bool
	OpensAt core.Time
	// Passable: a packet of a sparse flow may leave now though the link is not
	// Open. It is known only where the View is about a sparse flow.
	Passable bool
	Backup   bool // to be used when no other link can
	Suspect  bool // silent with data in flight

	// Known: the delays below have been measured.
	Known        bool
	SRTT, RTTVar time.Duration
	MinRTT       time.Duration
	// Delays are one-way and carry a constant that is unknown but the same
	// for all links of the session: compare them, do not add them to times.
	Base   time.Duration // of the empty link
	Delay  time.Duration // that a packet sent now would see
	Jitter time.Duration
	// Repair is what the link's losses add to the delay until its packets
	// have all arrived; 0 where losses are rare or not repaired.
	Repair time.Duration
	Rate   float64 // delivery rate, bytes/s; 0: unknown
	Loss   float64 // share of recent datagrams lost
	// Potential is what the link could carry if there were enough to send,
	// bytes/s: at least Rate.
	Potential float64

	InFlight, Window int // bytes
	// Starting: the window still doubles each round trip, and Rate is less
	// than the link can do.
	Starting bool

	// Sums over the link's life, in bytes.
	Sent, Acked, Lost uint64
}

// Packet is what a scheduler may know of a waiting packet.
type Packet struct {
	Len      int    // bytes
	Flow     uint32 // hash of the 5-tuple
	Bucket   uint8  // flow bucket, within which Sequence counts
	Sequence uint16
	Since    core.Time // when it came
}

// Queue is the backlog of the flow whose turn it is, in its order. (Flows that
// share a bucket count as one.)
type Queue interface {
	// Len and Bytes are the packets and bytes waiting; bytes as links count them,
	// with what the tunnel adds to each packet.
	Len() int
	Bytes() int
	// At returns the i-th waiting packet, from 0.
	At(i int) Packet
	// Find returns the index of the packet at an offset from the head, in the
	// bytes that Bytes counts, at most Len()-1.
	Find(offset int) int
	// LastSequence is the highest sequence of a bucket that a link has
	// carried first; ok is false when it carried none.
	LastSequence(id core.LinkID, bucket uint8) (seq uint16, ok bool)
}

// View is what a scheduler sees when it is asked. It is valid for that call.
type View struct {
	Now   core.Time
	Links []Link // those that can carry data, by ID
	Queue Queue  // not empty when Pick is called
	// Flows is how many flows of equal share would leave each of them what the
	// flow of Queue has: without priorities the number of flows that take turns.
	// Backlog is the bytes that all flows have waiting.
	Flows   int
	Backlog int
	// Sparse: the flow had nothing waiting of late, and has no more now than it
	// may send in a turn. Links of the answer may be Passable instead of Open then.
	Sparse bool
	// Held: the packets of this flow wait for the fast links until the slow
	// ones have caught up (Link.Open says so): the youngest may leave now on the
	// slowest.
	Held bool
	// Budget is what the peer's resequencer may hold, in bytes.
	Budget int
}

// AnyOpen tells whether a packet could leave on some link.
func (v *View) AnyOpen() bool {
	return slices.ContainsFunc(v.Links, func(l Link) bool { return l.Open })
}

// Choice is an answer: packets From to From+Count-1 of the queue leave, each on
// every link of Links.
type Choice struct {
	From, Count int
	Links       Set
}

// Scheduler decides which link carries which packet.
type Scheduler interface {
	// Name is the scheduler's name in the configuration.
	Name() string
	// Pick names the next packets to leave. Where nothing should leave now
	// it returns ok false, and in wake the time to ask again (core.Never: when
	// something has changed); it may then be asked about another flow. Links of
	// the answer must be Open, but for redundant copies and sparse flows.
	Pick(v *View) (c Choice, wake core.Time, ok bool)
	// Sent tells what became of a choice: bytes that left on a link. The
	// session may send fewer packets than chosen: the flow's turn may end.
	Sent(now core.Time, id core.LinkID, bytes int)
}

// Backlogger is a Scheduler that needs a backlog to use all links: Backlog is
// how much, in bytes, which is not taken for congestion. The view's queue may
// be empty.
type Backlogger interface {
	Backlog(v *View) int
}

// Set is a set of links.
type Set uint16

// Of returns the set of the given links.
func Of(ids ...core.LinkID) Set {
	var s Set
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

// Has tells whether id is in the set.
func (s Set) Has(id core.LinkID) bool { return s&(1<<id) != 0 }

// Default is the scheduler in force when nothing is configured.
const Default = "earliest"

// table holds every scheduler by name.
var table = map[string]func() Scheduler{
	"active-backup":  func() Scheduler { return &activeBackup{} },
	"blest":          func() Scheduler { return blest{} },
	"byte-count":     func() Scheduler { return newByteCount() },
	"earliest":       func() Scheduler { return &earliest{} },
	"ecf":            func() Scheduler { return &ecf{} },
	"flow":           func() Scheduler { return &flow{} },
	"loss-weighted":  func() Scheduler { return &lossWeighted{} },
	"lowest-latency": func() Scheduler { return &lowestLatency{} },
	"minrtt":         func() Scheduler { return minRTT{} },
	"redundant":      func() Scheduler { return redundant{} },
	"wrr":            func() Scheduler { return &wrr{} },
}

// New makes the scheduler of a name.
func New(name string) (Scheduler, error) {
	f, ok := table[name]
	if !ok {
		return nil, fmt.Errorf("unknown scheduler %q: one of %s", name, strings.Join(Names(), ", "))
	}
	return f(), nil
}

// Names lists the schedulers.
func Names() []string { return slices.Sorted(maps.Keys(table)) }

// candidates calls f for each link that may take new data now: the active
// ones, or the backups when there is no active one.
func candidates(links []Link, f func(*Link)) {
	backup := !slices.ContainsFunc(links, func(l Link) bool { return !l.Backup })
	for i := range links {
		if l := &links[i]; l.Backup == backup {
			f(l)
		}
	}
}

// responsive calls f for the candidates that are not silent, or for all of them
// when all are.
func responsive(links []Link, f func(*Link)) {
	calm := false
	candidates(links, func(l *Link) { calm = calm || !l.Suspect })
	candidates(links, func(l *Link) {
		if !calm || !l.Suspect {
			f(l)
		}
	})
}
