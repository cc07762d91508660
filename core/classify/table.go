package classify

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// Default is the classifier in force when nothing is configured.
const Default = "rtp"

// detector decides whether the packets of one direction of a UDP flow belong to
// a call. A new one is one file and one line in the table below.
type detector interface {
	// inspect takes the UDP payload of a packet and sets the state of h, the
	// half of f that the packet belongs to.
	inspect(t *Table, now core.Time, f *flow, h *half, payload []byte)
}

// detectors holds every classifier by name.
var detectors = map[string]detector{
	"off":        off{},
	"rtp":        rtp{},
	"rtp-basic":  rtpBasic{},
	"rtp-packet": rtpPacket{},
}

// Names lists the classifiers.
func Names() []string { return slices.Sorted(maps.Keys(detectors)) }

// State is what is believed of a packet, or of one direction of a flow.
type State uint8

// The states.
const (
	Other       State = iota // no call
	Provisional              // looks like a call
	Confirmed                // is one
)

func (s State) String() string { return [...]string{"other", "provisional", "call"}[s] }

// Ref names a flow of a table for a short while: the flow may be displaced by
// another one. The zero Ref names none.
type Ref uint32

// Verdict is what a table says of a packet.
type Verdict struct {
	State State
	Ref   Ref
}

// Limits bound a table. Zero values mean the defaults.
type Limits struct {
	Flows int           // known at once; rounded up to a power of two; 0: 2048
	Idle  time.Duration // after which a silent flow is forgotten; 0: 60 s
}

// Stats count what a table did.
type Stats struct {
	Confirmed uint64 // directions of flows that were found to be calls
	Revoked   uint64 // of them and of provisional ones: turned out to be none
	Evicted   uint64 // flows displaced by new ones before they were idle
}

const (
	defaultFlows = 2048
	defaultIdle  = 60 * time.Second
	ways         = 8 // flows of a set, among which a new one displaces
)

// Table knows the flows of a session by their 5-tuple, both directions under one
// entry. It is bounded: a new flow displaces one that is idle, else the one of
// its set that is the least like a call and was heard of least recently. The
// memory of a set is taken when its first flow comes.
type Table struct {
	name   string
	detect detector
	sets   []*[ways]flow
	idle   time.Duration
	seed   uint64
	last   *flow // of the last packet
	stats  Stats
}

// NewTable makes a table with the classifier of a name. The seed keeps others
// from knowing which flows displace each other.
func NewTable(name string, limits Limits, seed uint64) (*Table, error) {
	if limits.Flows <= 0 {
		limits.Flows = defaultFlows
	}
	if limits.Idle <= 0 {
		limits.Idle = defaultIdle
	}
	sets := 1
	for sets*ways < limits.Flows {
		sets *= 2
	}
	t := &Table{sets: make([]*[ways]flow, sets), idle: limits.Idle, seed: seed}
	return t, t.Set(name)
}

// Set changes the classifier; what the old one believed is forgotten.
func (t *Table) Set(name string) error {
	d, ok := detectors[name]
	if !ok {
		return fmt.Errorf("unknown classifier %q: one of %s", name, strings.Join(Names(), ", "))
	}
	t.name, t.detect = name, d
	for f := range t.all {
		for i := range f.halves {
			h := &f.halves[i]
			*h = half{volume: h.volume}
		}
		f.evidence, f.wrapped = 0, false
		if f.tracks != nil {
			*f.tracks = [2][maxTracks]track{}
		}
	}
	return nil
}

// Name is the name of the classifier.
func (t *Table) Name() string { return t.name }

// Stats returns what the table did.
func (t *Table) Stats() Stats { return t.stats }

// flow is what is known of a flow: the packets of one 5-tuple, both ways.
type flow struct {
	a, b     endpoint // the two ends, in the order of endpoint.less
	protocol uint8
	v6       bool
	used     bool
	aLocal   bool // a is on this side of the tunnel
	low      bool // the last packet sent got low latency
	wrapped  bool // its media is in TURN ChannelData
	evidence evidence
	links    uint16 // that the last packet to the peer took
	ref      Ref
	began    core.Time
	seen     core.Time
	halves   [2]half // toPeer and fromPeer
	// tracks are the sources within the flow, of each half. Their memory
	// stays with the place in the table.
	tracks *[2][maxTracks]track
}

// The halves of a flow.
const (
	toPeer = iota
	fromPeer
)

// half is one direction of a flow.
type half struct {
	volume
	state   State
	why     reason
	recent  uint32 // outcomes of the last packets, the newest in bit 0: 1 is a failure
	revoked uint8  // times that the state was taken back
	best    uint8  // the track by which it was recognised
	passed  uint32 // packets that passed the packet rule
	judged  uint32 // packets that were looked at
}

// volume counts the packets of a half.
type volume struct {
	packets, bytes uint64
	since          core.Time // begin of the window
	inWindow       uint64    // bytes since then
	rate           float64   // bytes/s over the window before
	last           core.Time
}

// rateWindow is the time over which rates are taken.
const rateWindow = core.Time(time.Second)

func (v *volume) add(now core.Time, packets, bytes int) {
	v.packets += uint64(packets)
	v.bytes += uint64(bytes)
	v.last = now
	if v.since == 0 {
		v.since = now
	}
	if d := now - v.since; d >= rateWindow {
		v.rate = float64(v.inWindow) / d.Sub(0).Seconds()
		v.since, v.inWindow = now, 0
	}
	v.inWindow += uint64(bytes)
}

// Packet takes a packet of the session at its arrival, an ordinary one or a
// super-packet, and says what it is. Packets that are neither TCP nor UDP, and
// fragments, are Other and of no flow.
func (t *Table) Packet(now core.Time, p core.Packet, peer bool) Verdict {
	var h header
	if !h.parse(p.Data) {
		return Verdict{}
	}
	f := t.find(now, &h, peer)
	f.seen = now
	half := &f.halves[toPeer]
	if peer {
		half = &f.halves[fromPeer]
	}
	packets := 1
	payload := p.Data[h.payload:]
	if p.Segment > 0 {
		packets = (len(payload) + p.Segment - 1) / p.Segment
	}
	half.add(now, packets, len(p.Data))
	if h.protocol != gso.ProtocolUDP {
		return Verdict{Ref: f.ref}
	}
	if p.Segment > 0 && len(payload) > p.Segment {
		payload = payload[:p.Segment]
	}
	t.detect.inspect(t, now, f, half, payload)
	return Verdict{State: half.state, Ref: f.ref}
}

// find returns the flow of a packet, a new one if there is none.
func (t *Table) find(now core.Time, h *header, peer bool) *flow {
	low, high := h.src, h.dst
	swapped := high.less(low)
	if swapped {
		low, high = high, low
	}
	if f := t.last; f != nil && f.is(low, high, h) {
		return f
	}
	index := t.index(low, high, h.protocol)
	f := t.lookup(index, low, high, h)
	if f == nil {
		f = t.place(now, index)
		tracks := f.tracks
		if tracks != nil {
			*tracks = [2][maxTracks]track{}
		}
		*f = flow{
			a: low, b: high, protocol: h.protocol, v6: h.v6, used: true,
			aLocal: swapped == peer, ref: f.ref, began: now, tracks: tracks,
		}
	}
	t.last = f
	return f
}

func (f *flow) is(low, high endpoint, h *header) bool {
	return f.used && f.a == low && f.b == high && f.protocol == h.protocol && f.v6 == h.v6
}

// lookup returns the flow of a set, or nil.
func (t *Table) lookup(index int, low, high endpoint, h *header) *flow {
	set := t.sets[index]
	if set == nil {
		return nil
	}
	for i := range set {
		if set[i].is(low, high, h) {
			return &set[i]
		}
	}
	return nil
}

// index is the set of a flow: a multiplicative hash, seeded.
func (t *Table) index(low, high endpoint, protocol uint8) int {
	const odd = 0x9e3779b97f4a7c15
	h := t.seed
	for _, v := range [...]uint64{low.hi, low.lo, high.hi, high.lo, uint64(low.port)<<32 | uint64(high.port)<<8 | uint64(protocol)} {
		h = (h ^ v) * odd
		h ^= h >> 29
	}
	return int(h) & (len(t.sets) - 1)
}

// place returns the place in a set that a new flow takes.
func (t *Table) place(now core.Time, index int) *flow {
	set := t.sets[index]
	if set == nil {
		set = &[ways]flow{}
		for i := range set {
			set[i].ref = Ref(index*ways + i + 1)
		}
		t.sets[index] = set
	}
	worst := &set[0]
	for i := range set {
		f := &set[i]
		if !f.used || t.expired(now, f) {
			return f
		}
		if f.state() < worst.state() || f.state() == worst.state() && f.seen < worst.seen {
			worst = f
		}
	}
	t.stats.Evicted++
	return worst
}

func (t *Table) expired(now core.Time, f *flow) bool { return now.Sub(f.seen) >= t.idle }

// state is the stronger of what is believed of the two halves.
func (f *flow) state() State { return max(f.halves[toPeer].state, f.halves[fromPeer].state) }

// all yields the flows in use.
func (t *Table) all(yield func(*flow) bool) {
	for _, set := range t.sets {
		if set == nil {
			continue
		}
		for i := range set {
			if set[i].used && !yield(&set[i]) {
				return
			}
		}
	}
}

// flowOf returns the flow that a Ref names, or nil.
func (t *Table) flowOf(r Ref) *flow {
	if r == 0 || int(r-1)/ways >= len(t.sets) {
		return nil
	}
	set := t.sets[int(r-1)/ways]
	if set == nil {
		return nil
	}
	return &set[int(r-1)%ways]
}

// Carried notes the links that a packet of a flow was sent on, one bit each, and
// whether it got low latency.
func (t *Table) Carried(r Ref, links uint16, low bool) {
	if f := t.flowOf(r); f != nil {
		f.links, f.low = links, low
	}
}

// Trim gives back the memory of sets whose flows are all idle.
func (t *Table) Trim(now core.Time) {
	t.last = nil
	for i, set := range t.sets {
		if set != nil && !slices.ContainsFunc(set[:], func(f flow) bool { return f.used && !t.expired(now, &f) }) {
			t.sets[i] = nil
		}
	}
}

// sibling returns the flow between the same addresses whose ports are lower by
// one, or nil: the RTP beside an RTCP that has ports of its own (RFC 3550,
// section 11).
func (t *Table) sibling(f *flow) *flow {
	h := header{protocol: f.protocol, v6: f.v6}
	low, high := f.a, f.b
	low.port--
	high.port--
	return t.lookup(t.index(low, high, h.protocol), low, high, &h)
}

// be16 and be32 read at an offset that the caller has checked.
func be16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
