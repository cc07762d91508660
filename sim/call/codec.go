// Package call is a voice call as the testbed has it: RTP (RFC 3550) with RTCP,
// a frame every 20 ms, and what the listener has of it. It has no socket and no
// clock: times are times of the run, passed in. Packages traffic and virtual
// carry the packets.
package call

import (
	"fmt"
	"time"
)

// Frame is how much sound a packet carries, and so the time between packets.
const Frame = 20 * time.Millisecond

// codec is what a call needs to know of an audio codec.
type codec struct {
	payloadType uint8
	clock       int // of RTP timestamps, in Hz
	// A frame has from smallest to largest bytes.
	smallest, largest int
	// delay is what coding adds to the delay from mouth to ear: the frame that
	// has to be complete, and the look-ahead.
	delay time.Duration
	// impairment (Ie) and robustness (Bpl) are the codec's in the E-model, with
	// packet loss in percent.
	impairment, robustness float64
}

// codecs are those of the scenario language.
//
// PCMU: RFC 3551; its Ie and Bpl are those of G.711 with concealment in ITU-T
// G.113. Opus: RFC 7587, whose payload type is dynamic, 111 in browsers, at
// about 36 kbit/s with a varying rate. G.113 has no narrow-band figures for it;
// it is given those of PCMU, so that the score is about the network alone.
var codecs = map[string]codec{
	"pcmu": {payloadType: 0, clock: 8000, smallest: 160, largest: 160,
		delay: Frame, impairment: 0, robustness: 25.1},
	"opus": {payloadType: 111, clock: 48000, smallest: 60, largest: 120,
		delay: Frame + 6500*time.Microsecond, impairment: 0, robustness: 25.1},
}

// codecNamed finds a codec of the scenario language.
func codecNamed(name string) (codec, error) {
	c, ok := codecs[name]
	if !ok {
		return codec{}, fmt.Errorf("codec %q: must be pcmu or opus", name)
	}
	return c, nil
}

// step is by how much the timestamp grows from packet to packet.
func (c codec) step() uint32 { return uint32(time.Duration(c.clock) * Frame / time.Second) }
