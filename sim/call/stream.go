package call

import (
	"bytes"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/report"
)

// MaxPackets bounds a stream: more than a day of it.
const MaxPackets = 1 << 23

// never is the arrival of a packet that has not arrived.
const never = time.Duration(-1 << 63)

// Stream is one direction of a call: what its speaker sends, and what its
// listener gets. As both are the testbed's, the times of sending need not be
// in the packets, whose content is a codec's.
type Stream struct {
	codec
	seed     uint64
	ssrc     uint32
	sequence uint16 // of the first packet
	stamp    uint32 // the timestamp of the first packet

	sentAt []time.Duration
	octets int // of payload that were sent

	arrivedAt []time.Duration
	order     meter.Order
	highest   int // packet number that arrived, from 0
	arrival   meter.Meter
	transit   float64 // of the packet that arrived last, in s
	jitter    float64 // RFC 3550 section 6.4.1, in s
	jitterSum float64
	out       meter.Outcome
}

// newStream makes the stream of a codec of the scenario language.
func newStream(codec string, seed uint64) (*Stream, error) {
	c, err := codecNamed(codec)
	if err != nil {
		return nil, err
	}
	r := rand.New(rand.NewPCG(seed, 0))
	return &Stream{codec: c, seed: seed, ssrc: r.Uint32(), sequence: uint16(r.Uint32()), stamp: r.Uint32()}, nil
}

// Next is the packet that is sent now. It does not change later. Of a stream
// that has had MaxPackets, it is nil.
func (s *Stream) Next(now time.Duration) []byte {
	number := len(s.sentAt)
	if number == MaxPackets {
		return nil
	}
	payload := s.payload(number)
	p := rtp.Packet{
		Header: rtp.Header{
			Version: 2, PayloadType: s.payloadType, SSRC: s.ssrc,
			Marker:         number == 0, // the beginning of speech, RFC 3551 section 4.1
			SequenceNumber: s.sequence + uint16(number),
			Timestamp:      s.stampOf(number),
		},
		Payload: payload,
	}
	packet, err := p.Marshal()
	if err != nil {
		panic("call: " + err.Error()) // a header of ours that cannot be written
	}
	if number == 0 {
		s.arrival.Wait(now)
	}
	s.sentAt = append(s.sentAt, now)
	s.arrivedAt = append(s.arrivedAt, never)
	s.octets += len(payload)
	return packet
}

func (s *Stream) stampOf(number int) uint32 { return s.stamp + uint32(number)*s.step() }

// payload is the content of packet number n: noise, as coded speech looks.
func (s *Stream) payload(number int) []byte {
	r := rand.New(rand.NewPCG(s.seed, uint64(number)+1))
	p := make([]byte, s.smallest+r.IntN(s.largest-s.smallest+1))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// Arrive takes a packet at the listener.
func (s *Stream) Arrive(now time.Duration, packet []byte) {
	var p rtp.Packet
	if err := p.Unmarshal(packet); err != nil {
		s.out.Fault("a packet of %d bytes came that is no RTP: %v", len(packet), err)
		return
	}
	if p.SSRC != s.ssrc || p.PayloadType != s.payloadType {
		s.out.Fault("a packet of source %#x and type %d came, the call's are %#x and %d",
			p.SSRC, p.PayloadType, s.ssrc, s.payloadType)
		return
	}
	// The number whose low 16 bits these are, nearest to the highest.
	number := s.highest + int(int16(p.SequenceNumber-s.sequence-uint16(s.highest)))
	if number < 0 || number >= len(s.sentAt) {
		s.out.Fault("packet number %d came, which was not sent", number)
		return
	}
	if p.Timestamp != s.stampOf(number) || !bytes.Equal(p.Payload, s.payload(number)) {
		s.out.Fault("packet number %d changed on its way", number)
	}
	if !s.order.Arrive(uint64(number)) {
		return
	}
	s.arrivedAt[number] = now
	s.highest = max(s.highest, number)
	s.arrival.Deliver(now, len(p.Payload))
	s.noteJitter(now, number)
}

// noteJitter is the estimator of RFC 3550 section 6.4.1.
func (s *Stream) noteJitter(now time.Duration, number int) {
	transit := (now - time.Duration(number)*Frame).Seconds()
	if s.order.Received > 1 {
		s.jitter += (abs(transit-s.transit) - s.jitter) / 16
		s.jitterSum += s.jitter
	}
	s.transit = transit
}

func abs(v float64) float64 { return max(v, -v) }

// Missing is how many packets have been sent and not arrived.
func (s *Stream) Missing() int { return len(s.sentAt) - s.order.Received }

// outcome is what the listener had of the call, which ended at end.
func (s *Stream) outcome(end time.Duration) meter.Outcome {
	delays := make([]time.Duration, len(s.sentAt))
	spread := meter.NewSpread()
	var trace report.Series
	for i, sentAt := range s.sentAt {
		delays[i] = -1
		if s.arrivedAt[i] != never {
			// Two clocks of one machine may differ by less than a packet takes.
			delays[i] = max(0, s.arrivedAt[i]-sentAt)
			spread.Add(delays[i])
			trace.T = append(trace.T, sentAt.Seconds())
			trace.V = append(trace.V, delays[i].Seconds())
		}
	}
	h := play(delays)
	gone, burst := h.gone(len(delays))
	score := mos(s.rating(h.delay+s.delay, gone, burst))
	if s.order.Received == 0 { // silence, which the model knows nothing about
		score = 1
	}
	s.arrival.Idle(end)
	out := s.out
	out.Values = map[string]any{
		"sent":       len(s.sentAt),
		"loss":       meter.Share(s.Missing(), len(s.sentAt)),
		"late":       meter.Share(h.late, len(s.sentAt)),
		"duplicates": s.order.Duplicates,
		"reordered":  meter.Share(s.order.Reordered, s.order.Received),
		"stall":      meter.Sum(&s.arrival).Stall.Seconds(),
		"jitter":     s.meanJitter(),
		"mos":        score,
		"delay":      spread.Percentiles(),
	}
	out.Series = map[string]report.Series{"delay": trace}
	return out
}

// meanJitter is the mean of the estimates after each packet: the last one
// alone tells only of the end of the call.
func (s *Stream) meanJitter() float64 {
	if s.order.Received < 2 {
		return 0
	}
	return s.jitterSum / float64(s.order.Received-1)
}
