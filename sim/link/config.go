package link

import "time"

// Config is what one direction of a link does to packets. The zero Config
// passes everything at once.
type Config struct {
	// Rate is in bit/s and counts the bytes of IP packets; 0 is unlimited.
	// It is kept to 1/1000 bit/s.
	Rate float64
	// Trace takes the place of Rate.
	Trace *Trace
	// Delay is the one-way delay behind the transmitter.
	Delay time.Duration
	// Jitter varies the delay: by at most ±Jitter when the distribution is
	// Uniform, with Jitter as the standard deviation when it is Normal. The
	// delay never falls below zero and packets do not overtake each other, so
	// that the resulting delays are somewhat above the drawn ones when packets
	// follow each other more closely than the jitter.
	Jitter       time.Duration
	Distribution Distribution
	Loss         Loss
	// Reorder, Duplicate and Corrupt are probabilities per packet. A reordered
	// packet skips the delay line and so overtakes the packets in it. The
	// second copy of a duplicated packet follows the first through queue and
	// transmitter. A corrupted packet has one bit inverted.
	Reorder, Duplicate, Corrupt float64
	// Queue bounds the packets that wait for the transmitter.
	Queue Queue
	// BlockUDP drops UDP packets, as a network does that lets only TCP through. It
	// needs the packets' Data.
	BlockUDP bool
	// MTU is the largest packet in bytes from the IP header on that passes;
	// larger ones vanish. 0 is unlimited.
	MTU int
}

// Distribution is the shape of the jitter.
type Distribution uint8

// The distributions.
const (
	Uniform Distribution = iota
	Normal
)

// Loss is a Gilbert-Elliott model: with probability P per packet the link
// turns from good to bad, with R from bad to good; a packet is lost with
// probability Good in the good state and Bad in the bad one. Independent loss
// has only Good set. In the words of tc-netem(8): p = P, r = R, 1-k = Good,
// 1-h = Bad.
type Loss struct{ P, R, Good, Bad float64 }

// Queue bounds a drop-tail queue. Every bound that is not zero holds; without
// any the queue takes up to MaxHeld packets. The packet in transmission counts
// as waiting, but an idle transmitter takes any packet.
type Queue struct {
	Time    time.Duration // at the link's rate, or at the mean rate of its trace
	Bytes   int
	Packets int
}

// MaxHeld bounds the packets one model holds in its queue and its delay line,
// whatever the configuration says. A second of 700 Mbit/s fits.
const MaxHeld = 1 << 16

// QueueBytes returns the tighter of the bounds in bytes and in time, as bytes;
// 0 for none.
func (cfg *Config) QueueBytes() int {
	limit := cfg.Queue.Bytes
	rate := cfg.Rate
	if cfg.Trace != nil {
		rate = cfg.Trace.Rate()
	}
	if cfg.Queue.Time > 0 && rate > 0 {
		timed := max(1, int(rate*cfg.Queue.Time.Seconds()/8))
		if limit == 0 || timed < limit {
			limit = timed
		}
	}
	return limit
}
