package link

import "math"

// Packet is one packet on its way through a model.
type Packet struct {
	// Data ends with the IP packet; link-layer headers may precede it. It may
	// be nil where only sizes matter. The model holds it until Pop or Flush.
	Data []byte
	// Size is the number of bytes from the IP header on, at most 1 MiB: what
	// rate, queue and MTU count.
	Size int
	// Tag is the owner's.
	Tag any
	// At is, in a packet that Pop returned, the time at which it left.
	At int64
}

// ip is the IP packet.
func (p *Packet) ip() []byte { return p.Data[max(0, len(p.Data)-p.Size):] }

// isUDP tells whether an IP packet without extension headers is UDP.
func isUDP(ip []byte) bool {
	const udp = 17
	switch {
	case len(ip) >= 20 && ip[0]>>4 == 4:
		return ip[9] == udp
	case len(ip) >= 40 && ip[0]>>4 == 6:
		return ip[6] == udp
	}
	return false
}

// Verdict says what became of a packet at Enqueue.
type Verdict uint8

// The verdicts. A packet that was not Accepted belongs to the caller again.
const (
	Accepted Verdict = iota
	DroppedBlackhole
	DroppedMTU
	DroppedLoss
	DroppedQueue
	DroppedLimit // MaxHeld
	DroppedBlocked
)

// Stats are a model's counters since it was made. At any time
// PacketsIn + Duplicated = PacketsOut + the drops + Held.
type Stats struct {
	PacketsIn, BytesIn   uint64
	PacketsOut, BytesOut uint64

	DropBlackhole, DropBlocked, DropMTU, DropLoss, DropQueue uint64
	// DropLimit counts packets dropped because of MaxHeld, DropFlush those
	// that were inside when the link went away.
	DropLimit, DropFlush uint64

	Corrupted, Duplicated, Reordered uint64

	Held        int // packets in queue and delay line now
	QueuedBytes int // bytes waiting for the transmitter now
	QueuedMax   int // the most there ever were
}

// Dropped returns the number of packets that did not pass, whatever the cause.
func (s *Stats) Dropped() uint64 {
	return s.DropBlackhole + s.DropBlocked + s.DropMTU + s.DropLoss + s.DropQueue + s.DropLimit + s.DropFlush
}

// Model is one direction of a link. It is not safe for concurrent use.
type Model struct {
	// Clone copies a packet that is to be duplicated, or says that it cannot.
	// When it is nil, Data is copied and Tag is shared.
	Clone func(Packet) (Packet, bool)

	cfg        Config
	queueBytes int // bound; 0: none
	dice       dice
	service    service
	blackhole  bool

	queue  ring  // waiting for the transmitter; the front is in transmission
	line   ring  // in the delay line, in order
	early  ring  // reordered packets that wait to be popped
	finish int64 // when the front of queue has left the transmitter
	jumps  int   // packets in queue that will skip the delay line
	last   int64 // departure of the newest packet of line
	stats  Stats
}

// item is a packet inside, with what the dice said.
type item struct {
	p       Packet
	arrival int64
	jitter  float64
	reorder bool
}

// New makes a model. A trace in cfg starts at time 0.
func New(cfg Config, seed uint64) *Model {
	m := &Model{cfg: cfg, dice: newDice(seed), queueBytes: cfg.QueueBytes()}
	m.service.configure(&cfg, 0)
	return m
}

// Stats returns the counters.
func (m *Model) Stats() Stats {
	s := m.stats
	s.Held = m.queue.count + m.line.count + m.early.count
	return s
}

// Blackhole makes every packet that arrives from now on vanish, or ends that.
// Packets inside go on.
func (m *Model) Blackhole(on bool) { m.blackhole = on }

// Set changes the configuration at now. The packet in transmission sends what
// is left of it at the new rate; packets in the delay line keep their time;
// packets in a queue that has become too small stay. A trace starts at now.
func (m *Model) Set(now int64, cfg Config) {
	m.advance(now)
	m.cfg = cfg
	m.queueBytes = cfg.QueueBytes()
	finish := m.service.change(&cfg, now)
	if m.queue.count > 0 {
		m.finish = finish
		m.advance(now)
	}
}

// Enqueue takes a packet that arrives at now. A time that lies a little before
// that of an earlier call is taken as it is.
func (m *Model) Enqueue(now int64, p Packet) Verdict {
	m.advance(now)
	m.stats.PacketsIn++
	m.stats.BytesIn += uint64(p.Size)
	f := m.dice.roll(&m.cfg)
	switch {
	case m.blackhole:
		m.stats.DropBlackhole++
		return DroppedBlackhole
	case m.cfg.BlockUDP && isUDP(p.ip()):
		m.stats.DropBlocked++
		return DroppedBlocked
	case m.cfg.MTU > 0 && p.Size > m.cfg.MTU:
		m.stats.DropMTU++
		return DroppedMTU
	case f.lost:
		m.stats.DropLoss++
		return DroppedLoss
	}
	verdict := m.room(p.Size)
	switch verdict {
	case DroppedQueue:
		m.stats.DropQueue++
		return verdict
	case DroppedLimit:
		m.stats.DropLimit++
		return verdict
	}
	m.put(now, p, f)
	if f.duplicate && m.room(p.Size) == Accepted {
		if twin, ok := m.clone(p); ok {
			m.stats.Duplicated++
			m.put(now, twin, f)
		}
	}
	if f.corrupt {
		m.corrupt(p, f.bit)
	}
	return Accepted
}

// clone copies a packet that is still as it came.
func (m *Model) clone(p Packet) (Packet, bool) {
	if m.Clone != nil {
		return m.Clone(p)
	}
	p.Data = append([]byte(nil), p.Data...)
	return p, true
}

// room says whether a packet of size bytes may wait, else why not.
func (m *Model) room(size int) Verdict {
	switch {
	case m.queue.count > 0 && !m.fits(size):
		return DroppedQueue
	case m.queue.count+m.line.count+m.early.count >= MaxHeld:
		return DroppedLimit
	}
	return Accepted
}

// put appends a packet to the queue.
func (m *Model) put(now int64, p Packet, f fate) {
	if f.reorder {
		m.jumps++
	}
	m.queue.push(item{p: p, arrival: now, jitter: f.jitter, reorder: f.reorder})
	m.stats.QueuedBytes += p.Size
	if m.queue.count == 1 {
		m.finish = m.service.serve(now, p.Size)
	}
	m.advance(now)
	m.stats.QueuedMax = max(m.stats.QueuedMax, m.stats.QueuedBytes)
}

// fits says whether size bytes more may wait.
func (m *Model) fits(size int) bool {
	if m.queueBytes > 0 && m.stats.QueuedBytes+size > m.queueBytes {
		return false
	}
	return m.cfg.Queue.Packets == 0 || m.queue.count < m.cfg.Queue.Packets
}

// corrupt inverts one bit of the IP packet.
func (m *Model) corrupt(p Packet, draw uint64) {
	m.stats.Corrupted++
	if ip := p.ip(); len(ip) > 0 {
		bit := draw % uint64(8*len(ip))
		ip[bit/8] ^= 1 << (bit % 8)
	}
}

// advance moves every packet that has left the transmitter by now into the
// delay line.
func (m *Model) advance(now int64) {
	for m.queue.count > 0 && m.finish <= now {
		it := m.queue.pop()
		m.stats.QueuedBytes -= it.p.Size
		it.p.At = m.departure(&it)
		if it.reorder {
			m.jumps--
			if m.line.count > 0 {
				m.stats.Reordered++
			}
			m.early.push(it)
		} else {
			m.last = it.p.At
			m.line.push(it)
		}
		if m.queue.count > 0 {
			next := m.queue.front()
			m.finish = m.service.serve(next.arrival, next.p.Size)
		}
	}
}

// departure returns when the packet that leaves the transmitter at m.finish
// leaves the link.
func (m *Model) departure(it *item) int64 {
	if it.reorder {
		return m.finish
	}
	delay := int64(m.cfg.Delay) + int64(math.Round(it.jitter*float64(m.cfg.Jitter)))
	return max(m.finish+max(0, delay), m.last)
}

// Next returns when the model is to be looked at again: Pop has nothing before
// that time. It is false when the model is empty.
func (m *Model) Next() (at int64, ok bool) {
	at = math.MaxInt64
	if m.line.count > 0 {
		at = m.line.front().p.At
	}
	if m.early.count > 0 {
		at = min(at, m.early.front().p.At)
	}
	if m.queue.count > 0 {
		// Usually nothing can leave before the packet in transmission does.
		// One that skips the delay line may leave before it, so then the model
		// has to be looked at after each transmission.
		if m.jumps > 0 {
			at = min(at, m.finish)
		} else {
			at = min(at, m.departure(m.queue.front()))
		}
	}
	return at, at != math.MaxInt64
}

// Pop returns the first packet that has left the link by now, in the order of
// departure.
func (m *Model) Pop(now int64) (Packet, bool) {
	m.advance(now)
	from := &m.line
	if m.early.count > 0 && (m.line.count == 0 || m.early.front().p.At < m.line.front().p.At) {
		from = &m.early
	}
	if from.count == 0 || from.front().p.At > now {
		return Packet{}, false
	}
	p := from.pop().p
	m.stats.PacketsOut++
	m.stats.BytesOut += uint64(p.Size)
	return p, true
}

// Flush drops everything inside at now, handing each packet to release: the
// link is gone.
func (m *Model) Flush(now int64, release func(Packet)) {
	for _, r := range []*ring{&m.early, &m.line, &m.queue} {
		for r.count > 0 {
			release(r.pop().p)
			m.stats.DropFlush++
		}
	}
	m.stats.QueuedBytes = 0
	m.jumps = 0
	m.last = 0
	m.service.idle(now)
}
