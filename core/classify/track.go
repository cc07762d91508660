package classify

import (
	"math"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// maxTracks bounds the sources that are followed in each direction of a flow: a
// bundle has sound, picture and its repair.
const maxTracks = 3

// track follows one source (SSRC) of a direction.
type track struct {
	ssrc        uint32
	timestamp   uint32
	sequence    uint16
	payloadType uint8
	offbeat     uint8  // checks of the clock in a row that failed
	good        uint16 // packets that passed, the first included; 0: no track
	moves       uint16 // of them: with a timestamp that moved as it should
	bulky       uint16 // of them: large ones of the frame before
	clock       uint32 // Hz, when it is known
	began       core.Time
	at          core.Time // arrival of the last packet
	movedAt     core.Time // arrival of the last new timestamp
	// The reference from which the clock is measured.
	refAt        core.Time
	refTimestamp uint32
}

// Bounds of what a source does.
const (
	maxStep = 32 // of the sequence
	// frameTime is how long the packets of one frame take at most.
	frameTime = 150 * time.Millisecond
	// burstTime is how long the packets of a first frame take at most, when
	// nothing but their size speaks for them.
	burstTime  = 30 * time.Millisecond
	burstSize  = 400 // bytes of payload
	burstCount = 4
	// eventSize is the payload of an event at most, encrypted.
	eventSize = 4 + 16
	// pause ends the reference of the clock.
	pause = 500 * time.Millisecond
	// clockTime is how long the clock is measured, with clockError allowed.
	clockTime  = 2 * time.Second
	clockError = 0.1
	// maxOffbeat wrong clocks in a row are a failure for good.
	maxOffbeat = 2
	maxJump    = 90000 // of the timestamp, backwards or in a burst
	// settled is after how long a rate is good to clockError in spite of jitter.
	settled = 150 * time.Millisecond
)

// clocks are those of media, in Hz.
var clocks = [...]float64{8000, 16000, 24000, 32000, 44100, 48000, 90000}

// findTrack returns the index of the track of a source, or of the one that makes
// room for it; first says that there is none at all yet.
func findTrack(tracks *[maxTracks]track, ssrc uint32) (index int, first bool) {
	first = true
	for i := range tracks {
		tr := &tracks[i]
		if tr.good > 0 {
			first = false
			if tr.ssrc == ssrc {
				return i, false
			}
		}
		if w := &tracks[index]; tr.good < w.good || tr.good == w.good && tr.at < w.at {
			index = i
		}
	}
	return index, first
}

// begin follows a new source.
func (tr *track) begin(now core.Time, r *rtpHeader) {
	*tr = track{
		ssrc: r.ssrc, payloadType: r.payloadType, sequence: r.sequence, timestamp: r.timestamp,
		good: 1, began: now, at: now, movedAt: now, refAt: now, refTimestamp: r.timestamp,
	}
}

// advance takes the next packet of the source.
func (tr *track) advance(now core.Time, r *rtpHeader) (outcome, reason) {
	step := int16(r.sequence - tr.sequence)
	switch {
	case step <= 0 && step >= -maxStep:
		return neutral, 0 // a copy, or late
	case step < 0 || step > maxStep:
		good := tr.good
		tr.begin(now, r)
		if good >= confirmedAt {
			tr.good = confirmedAt / 2 // an outage, perhaps
		}
		return fail, whySteps
	}
	if now.Sub(tr.at) > pause {
		tr.refAt, tr.refTimestamp = now, r.timestamp
	}
	moved := int32(r.timestamp - tr.timestamp)
	since := now.Sub(tr.movedAt)
	tr.sequence, tr.at = r.sequence, now
	if moved == 0 {
		return tr.continues(since, r.payload)
	}
	tr.timestamp, tr.movedAt, tr.payloadType = r.timestamp, now, r.payloadType
	o, why := tr.move(moved, int32(step), since)
	if o == pass {
		tr.count(&tr.good)
		tr.count(&tr.moves)
		return tr.checkClock(now)
	}
	return o, why
}

func (*track) count(n *uint16) {
	if *n < 1<<16-1 {
		*n++
	}
}

// continues judges a packet with the timestamp of the one before: another part
// of its frame, or of an event that lasts (RFC 4733).
func (tr *track) continues(since time.Duration, payload int) (outcome, reason) {
	switch {
	case payload <= eventSize:
		return neutral, 0
	case since > frameTime:
		return fail, whyClock
	}
	tr.count(&tr.good)
	if payload >= burstSize {
		tr.count(&tr.bulky)
	}
	return pass, 0
}

// move judges a timestamp that moved in a number of steps and a time.
func (tr *track) move(moved, steps int32, since time.Duration) (outcome, reason) {
	least, most := clockRange(tr.payloadType)
	if regular(moved, steps, most) {
		return pass, 0
	}
	if since >= 5*time.Millisecond && within(rate(moved, since), max(least, 2*clocks[0]), most) {
		return pass, 0
	}
	if elapsed := tr.movedAt.Sub(tr.refAt); elapsed >= settled &&
		within(rate(int32(tr.timestamp-tr.refTimestamp), elapsed), max(least, clocks[0]*(1-clockError)), most) {
		return pass, 0
	}
	if moved > -maxJump && moved < maxJump {
		return neutral, 0
	}
	return fail, whyClock
}

// clockRange bounds what can be taken for the clock of a payload type, in Hz,
// when a few arrivals with their jitter are all there is.
func clockRange(payloadType uint8) (least, most float64) {
	switch {
	case payloadType >= 35:
		return 4000, 180000
	case payloadType == 14 || payloadType >= 25:
		return 45000, 180000
	case payloadType == 10 || payloadType == 11:
		return 22050, 88200
	}
	return 4000, 32000
}

// regular tells whether a timestamp moved by frames of a usual length: 10 to 60
// ms of sound at a usual clock per packet, or pictures at a usual rate, in any
// order.
func regular(moved, steps int32, mostClock float64) bool {
	switch moved / steps {
	case 80, 160, 240, 320, 480, // 8 and 16 kHz
		640, 720, 960, // 16, 24 and 48 kHz
		441, 882, 1323, 1764, 2646, // 44.1 kHz
		1440, 1920, 2880: // 24 and 48 kHz
		return moved%steps == 0
	}
	if mostClock < maxJump || moved < -maxJump || moved > maxJump {
		return false
	}
	for _, frame := range [...]int32{750, 3003} { // 120 pictures/s and their multiples, 29.97
		if moved%frame == 0 {
			return true
		}
	}
	return false
}

// moved tells whether timestamps speak for the track: they moved as they should,
// or the packets are the burst of a first large frame.
func (tr *track) moved() bool {
	return tr.moves > 0 || tr.bulky >= burstCount && tr.at.Sub(tr.began) <= burstTime
}

// plausible tells whether the timestamps moved at a rate near that of a clock
// so far. It cannot be told of a burst.
func (tr *track) plausible() bool {
	const enough = 40 * time.Millisecond
	elapsed := tr.movedAt.Sub(tr.refAt)
	if elapsed < enough {
		return true
	}
	least, most := clockRange(tr.payloadType)
	return within(rate(int32(tr.timestamp-tr.refTimestamp), elapsed), least, most)
}

// rate is how fast a timestamp moved, in Hz.
func rate(moved int32, elapsed time.Duration) float64 { return float64(moved) / elapsed.Seconds() }

func within(v, least, most float64) bool { return v >= least && v <= most }

// checkClock measures the clock when the time for it has come.
func (tr *track) checkClock(now core.Time) (outcome, reason) {
	elapsed := now.Sub(tr.refAt)
	if elapsed < clockTime {
		return pass, 0
	}
	measured := rate(int32(tr.timestamp-tr.refTimestamp), elapsed)
	tr.refAt, tr.refTimestamp = now, tr.timestamp
	nearest := clocks[0]
	for _, c := range clocks {
		if math.Abs(measured-c) < math.Abs(measured-nearest) {
			nearest = c
		}
	}
	if math.Abs(measured-nearest) <= nearest*clockError {
		tr.clock, tr.offbeat = uint32(nearest), 0
		return pass, 0
	}
	if tr.offbeat++; tr.offbeat < maxOffbeat {
		return fail, whyClock
	}
	return refute, whyClock
}
