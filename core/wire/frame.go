package wire

import (
	"encoding/binary"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// Frame types. Integers in frames are unsigned varints unless said otherwise.
const (
	framePadding       = 0x00
	framePing          = 0x01
	frameAck           = 0x02
	framePathChallenge = 0x03
	framePathResponse  = 0x04
	frameDelays        = 0x05
)

// Limits of an Ack, which bound what a peer can make the other end do.
const (
	MaxRanges   = 32
	MaxArrivals = 32
)

// Range is a run of link numbers that arrived, both ends included.
type Range struct{ First, Last uint64 }

// Arrival says when a datagram arrived, on the receiver's clock. Of several
// that arrived at one instant the highest number stands for all.
type Arrival struct {
	Number uint64
	At     core.Time // microsecond resolution
}

// Ack reports what arrived on one link. Sender and receiver of an Ack never
// compare each other's clocks: the times are only ever subtracted from send
// times of the same link to give one-way delays with an unknown constant,
// which is the same for all links.
type Ack struct {
	Link core.LinkID
	// Delay is how long the newest arrival waited for this report.
	Delay time.Duration
	// Ranges are newest first, apart by at least one missing number, at least
	// one and at most MaxRanges.
	Ranges []Range
	// Arrivals are newest first, one to MaxArrivals; the first is that of
	// the highest number.
	Arrivals []Arrival
}

// Delays is what a sender knows of the links it sends on and its peer cannot:
// how far apart in time packets sent one after another may arrive. The peer's
// resequencer waits accordingly.
type Delays struct {
	// Spread is the one-way delay of the slowest link in use less that of the
	// fastest, Jitter the largest jitter among them.
	Spread, Jitter time.Duration
	// Repair is how long a lost packet takes to come again; 0: it does not.
	Repair time.Duration
	// Backlog is how long what waits in the sender's queue takes to leave.
	Backlog time.Duration
}

// AppendDelays adds a Delays frame: four durations in us.
func AppendDelays(dst []byte, d Delays) []byte {
	dst = append(dst, frameDelays)
	for _, v := range [...]time.Duration{d.Spread, d.Jitter, d.Repair, d.Backlog} {
		dst = binary.AppendUvarint(dst, uint64(max(0, v)/time.Microsecond))
	}
	return dst
}

// AppendFrames begins a body of frames in dst.
func AppendFrames(dst []byte) []byte { return append(dst, byte(KindFrames)) }

// AppendPing adds a frame that asks only to be acknowledged.
func AppendPing(dst []byte) []byte { return append(dst, framePing) }

// AppendPadding fills a body up to size bytes.
func AppendPadding(dst []byte, size int) []byte {
	for len(dst) < size {
		dst = append(dst, framePadding)
	}
	return dst
}

// AppendPathChallenge adds a challenge (RFC 9000, section 8.2).
func AppendPathChallenge(dst []byte, token [8]byte) []byte {
	return append(append(dst, framePathChallenge), token[:]...)
}

// AppendPathResponse adds the answer to a challenge.
func AppendPathResponse(dst []byte, token [8]byte) []byte {
	return append(append(dst, framePathResponse), token[:]...)
}

// AppendAck adds an acknowledgement:
//
//	type, link (8 bits), delay in us,
//	time of the newest arrival in us, its number,
//	count of further arrivals, each: numbers back, us back,
//	count of further ranges, length-1 of the first, each: gap-1, length-1
//
// a must hold at least one range and one arrival.
func AppendAck(dst []byte, a *Ack) []byte {
	dst = append(dst, frameAck, byte(a.Link))
	dst = binary.AppendUvarint(dst, uint64(a.Delay/time.Microsecond))
	at, number := micros(a.Arrivals[0].At), a.Arrivals[0].Number
	dst = binary.AppendUvarint(dst, at)
	dst = binary.AppendUvarint(dst, number)
	dst = binary.AppendUvarint(dst, uint64(len(a.Arrivals)-1))
	for _, v := range a.Arrivals[1:] {
		t := micros(v.At)
		dst = binary.AppendUvarint(dst, number-v.Number)
		dst = binary.AppendUvarint(dst, at-t)
		at, number = t, v.Number
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.Ranges)-1))
	low := uint64(0)
	for i, r := range a.Ranges {
		if i > 0 {
			dst = binary.AppendUvarint(dst, low-r.Last-2)
		}
		dst = binary.AppendUvarint(dst, r.Last-r.First)
		low = r.First
	}
	return dst
}

func micros(t core.Time) uint64 { return uint64(t) / 1000 }

// IsReport tells whether a body of frames is a report, which is not
// acknowledged: its first frame is an Ack, or Delays sent without one.
func IsReport(body []byte) bool {
	return len(body) > 1 && (body[1] == frameAck || body[1] == frameDelays)
}

// Handler receives the frames of a body, in order. Ack and its slices are
// valid until the call returns.
type Handler interface {
	HandlePing()
	HandleAck(a *Ack)
	HandlePathChallenge(token [8]byte)
	HandlePathResponse(token [8]byte)
	HandleDelays(d Delays)
}

// FrameParser parses bodies of frames without allocating.
type FrameParser struct {
	ack      Ack
	ranges   [MaxRanges]Range
	arrivals [MaxArrivals]Arrival
}

// Parse walks the frames of body, which must be of KindFrames. It stops at
// the first malformed frame; those before it have been handled.
func (p *FrameParser) Parse(body []byte, h Handler) error {
	if k, err := BodyKind(body); err != nil || k != KindFrames {
		return ErrKind
	}
	r := reader{b: body[1:]}
	for len(r.b) > 0 {
		switch t := r.byte(); t {
		case framePadding:
		case framePing:
			h.HandlePing()
		case frameAck:
			if !p.readAck(&r) {
				return ErrFrame
			}
			h.HandleAck(&p.ack)
		case framePathChallenge, framePathResponse:
			if len(r.b) < 8 {
				return ErrFrame
			}
			token := [8]byte(r.b)
			r.b = r.b[8:]
			if t == framePathChallenge {
				h.HandlePathChallenge(token)
			} else {
				h.HandlePathResponse(token)
			}
		case frameDelays:
			d := Delays{Spread: r.micros(), Jitter: r.micros(), Repair: r.micros(), Backlog: r.micros()}
			if r.bad {
				return ErrFrame
			}
			h.HandleDelays(d)
		default:
			return ErrFrame
		}
	}
	return nil
}

// readAck fills p.ack and reports whether the frame was well-formed: numbers
// do not wrap, ranges lie apart, nothing is longer than its limit.
func (p *FrameParser) readAck(r *reader) bool {
	a := &p.ack
	a.Link = core.LinkID(r.byte())
	a.Delay = r.micros()
	at, number := r.uvarint(), r.uvarint()
	more := r.uvarint()
	if r.bad || a.Link >= core.MaxLinks ||
		at > uint64(core.Never)/1000 || more >= MaxArrivals {
		return false
	}
	p.arrivals[0] = Arrival{Number: number, At: core.Time(at * 1000)}
	highest := number
	for i := range more {
		dn, dt := r.uvarint(), r.uvarint()
		if r.bad || dn > number || dt > at {
			return false
		}
		number, at = number-dn, at-dt
		p.arrivals[i+1] = Arrival{Number: number, At: core.Time(at * 1000)}
	}
	a.Arrivals = p.arrivals[:more+1]
	return p.readRanges(r, highest)
}

func (p *FrameParser) readRanges(r *reader, highest uint64) bool {
	more := r.uvarint()
	if r.bad || more >= MaxRanges {
		return false
	}
	last := highest
	for i := range more + 1 {
		if i > 0 {
			gap := r.uvarint()
			if r.bad || gap > last || last-gap < 2 {
				return false
			}
			last -= gap + 2
		}
		n := r.uvarint()
		if r.bad || n > last {
			return false
		}
		p.ranges[i] = Range{First: last - n, Last: last}
		last -= n
	}
	p.ack.Ranges = p.ranges[:more+1]
	return true
}

// reader reads from the front of b; bad is set for good at the first value
// that is not there.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// micros reads a duration of at most an hour.
func (r *reader) micros() time.Duration {
	v := r.uvarint()
	if v > uint64(time.Hour/time.Microsecond) {
		r.bad = true
		return 0
	}
	return time.Duration(v) * time.Microsecond
}
