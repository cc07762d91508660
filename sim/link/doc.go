// Package link is the model of one direction of one link: a drop-tail queue in
// front of a transmitter of a given rate, followed by a delay line, with
// losses, jitter, reordering, duplication and corruption by seed.
//
// The model is pure: it has no clock, goroutine or lock. Its owner tells it
// the time with every call, so that the same model runs in real time (package
// emu) and in virtual time:
//
//	m := link.New(cfg, seed)
//	m.Enqueue(now, p)             // a packet arrives
//	at, ok := m.Next()            // when to look at the model again
//	p, ok := m.Pop(at)            // what leaves then
//
// Times are nanoseconds since an origin of the owner's choosing.
//
// A packet meets, in this order: the blackhole, the block of UDP, the MTU, the loss, the queue,
// the transmitter, the delay line. Losses come before the rate, as in Linux's
// netem: a lost packet takes no transmission time. Everything that can drop a
// packet does so in Enqueue; what Enqueue accepts leaves through Pop (or Flush).
//
// A router that several links share is a Model of its own behind them: what
// leaves a link's model at Packet.At enters the shared one at that time.
//
// # Randomness
//
// Each impairment has a random stream of its own, derived from the seed and
// the impairment's name, and takes a fixed number of draws from it for every
// packet. The fate of the n-th packet is therefore the same in every run, and
// changing one impairment, even while running, does not reshuffle the others.
package link
