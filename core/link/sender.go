package link

import (
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// Lost is a datagram that is known to be lost.
type Lost struct {
	Number uint64
	Held   *packet.Packet // the reference passes to the caller; may be nil
	Part   wire.Part      // of Held that was lost
}

// Sender is the sending half of a link.
type Sender struct {
	next    uint64 // the next number
	base    uint64 // number of records[0]
	records []record
	head    int // records before it are gone; compacted now and then

	inFlight int
	rtt      rttEstimator
	delay    delayEstimator
	loss     float64 // average share lost
	random   float64 // of it, what was lost without a queue: no congestion
	window   window
	pacer    pacer
	limit    limiter
	reorder  reorderGuard
	mtu      pathMTU

	lastAsked core.Time // when an acknowledgement was last asked for
	lastAck   core.Time // of something new
	owed      core.Time // since when an acknowledgement is owed; 0: none is
	largest   uint64    // highest number acknowledged
	anyAck    bool
	closed    bool    // between Close and Reopen
	stream    bool    // see SetStream
	lossKnown float64 // loss before the present silence

	// estimate is what Estimate returned last, several times for each call of a
	// session; estimated says that nothing has changed since.
	estimate  Estimate
	estimated bool

	stats SenderStats
}

// SenderStats count what a link sent.
type SenderStats struct {
	Bytes, Datagrams      uint64 // sent; bytes from the outer IP header on
	AckedBytes, Acked     uint64
	LostBytes, Lost       uint64
	SpuriousLost, GivenUp uint64 // called lost but came; forgotten for want of room
	// MTUProbes were sent; BlackHoles is how often the path was found to carry
	// less than it had.
	MTUProbes, BlackHoles uint64
}

// NewSender makes the sending half of a link. With paced false the link has
// no window and no pacer: it takes whatever the scheduler gives it.
func NewSender(paced bool) *Sender {
	s := &Sender{}
	s.window.init()
	s.SetPaced(paced)
	return s
}

// SetPaced switches window and pacer.
func (s *Sender) SetPaced(on bool) { s.window.off = !on }

// SetStream says whether the datagrams take a stream, which loses none: it delivers
// them late instead, when it repairs its own losses or its congestion control stands
// still (BBR does for 0.2 s every ten).
func (s *Sender) SetStream(on bool) { s.stream = on }

// NextNumber is the number that the next Sent will record.
func (s *Sender) NextNumber() uint64 { return s.next }

// Sent records the datagram NextNumber, of size bytes from the outer IP header
// on. eliciting tells whether the peer acknowledges it by itself. held, which
// may be nil, is the packet to repair, of which part is in the datagram; the
// record takes a reference.
func (s *Sender) Sent(now core.Time, size int, eliciting bool, held *packet.Packet, part wire.Part) {
	r := record{at: now, held: held, part: part}
	if held != nil {
		held.Retain()
	}
	if eliciting {
		s.lastAsked = now
		r.size = int32(size)
		r.light = s.inFlight < max(lightFlight, s.window.size/lightShare)
		s.inFlight += size
		if s.owed == 0 {
			s.owed = now
		}
		s.pacer.sent(now, size, s.paceRate(), s.paceBurst())
	}
	s.limit.sent(now, size)
	s.record(r)
	s.stats.Bytes += uint64(size)
}

// Acked takes a report about this link and appends what it proves lost to
// out, which it returns. Numbers that were never sent are ignored.
//
// Links deliver in order, so that a number below one that arrived is lost
// (the rule of RFC 1990), but for a tolerance that grows when a link is seen
// to reorder.
func (s *Sender) Acked(now core.Time, a *wire.Ack, out []Lost) []Lost {
	newest := a.Arrivals[0].Number
	if newest >= s.next {
		return out
	}
	s.estimated = false
	newBytes := 0
	for _, r := range a.Ranges {
		if r.Last < s.base {
			break
		}
		newBytes += s.ackRange(now, r)
	}
	s.reorder.acked(now, a, &s.stats)
	news := !s.anyAck || newest > s.largest
	late := news && newest < s.base // called lost for its age
	if late {
		s.measureLate(now, a)
	}
	var round sample
	round.acked = newBytes
	if newBytes > 0 || late {
		s.lastAck, s.owed = now, 0
		if s.inFlight > 0 {
			s.owed = now
		}
		s.lossKnown = s.loss
	}
	if news {
		s.largest, s.anyAck = newest, true
		s.measure(now, a, &round)
	}
	out = s.findLost(now, a, &round, out)
	s.trim()
	s.window.update(now, s, &round)
	return out
}

// ackRange marks the numbers of r acknowledged and returns their bytes.
func (s *Sender) ackRange(now core.Time, r wire.Range) int {
	n := 0
	for i := int(max(r.First, s.base)-s.base) + s.head; i <= int(r.Last-s.base)+s.head; i++ {
		rec := &s.records[i]
		if rec.fate != outstanding {
			continue
		}
		rec.fate = acked
		number := s.base + uint64(i-s.head)
		if rec.probe {
			s.mtu.answered(now, number)
			continue
		}
		s.mtu.came(number, int(rec.size))
		n += int(rec.size)
		if rec.held != nil {
			rec.held.Arrived |= rec.part
			s.drop(rec)
		}
		s.stats.Acked++
		s.loss -= s.loss * lossGain
		s.random -= s.random * lossGain
	}
	s.inFlight -= n
	s.stats.AckedBytes += uint64(n)
	return n
}

// measure takes the delay samples of a report that brings something new.
func (s *Sender) measure(now core.Time, a *wire.Ack, round *sample) {
	least := none
	for _, v := range a.Arrivals {
		if v.Number < s.base || v.Number >= s.next {
			continue
		}
		r := &s.records[int(v.Number-s.base)+s.head]
		least = min(least, v.At.Sub(r.at))
	}
	if least == none {
		return
	}
	r := &s.records[int(a.Arrivals[0].Number-s.base)+s.head]
	newest := a.Arrivals[0].At.Sub(r.at)
	rtt := now.Sub(r.at) - a.Delay
	round.valid, round.at, round.rtt, round.delay, round.least = true, a.Arrivals[0].At, rtt, newest, least
	s.rtt.add(now, rtt)
	s.delay.add(now, newest, least)
	if r.light {
		s.delay.addIdle(newest - s.ownTime(int(r.size)))
	}
}

// measureLate takes a report about what had been called lost for its age; that it
// was that old is all that is remembered of it. Where the reports suddenly take
// longer, as behind a burst on the way back, all that they tell of has been called
// lost: no round trip would ever be measured again.
func (s *Sender) measureLate(now core.Time, a *wire.Ack) {
	age := s.tailAge()
	if late := s.reorder.late(now, a.Arrivals[0].Number); late > 0 && s.rtt.known() {
		s.rtt.add(now, age+late-a.Delay)
	}
}

// ownTime is how long the link takes for size bytes, which is no jitter; 0 while the
// rate is not known.
func (s *Sender) ownTime(size int) time.Duration {
	if s.window.starting {
		return 0
	}
	return s.window.packets(float64(size) / segment)
}

// findLost declares lost what is missing below the newest arrival, down to
// the lowest number the report speaks of.
func (s *Sender) findLost(now core.Time, a *wire.Ack, round *sample, out []Lost) []Lost {
	newest := a.Ranges[0].Last
	if newest < s.base {
		return out
	}
	limit := s.records[int(newest-s.base)+s.head].at
	limit = limit.Add(-s.reorder.tolerance.by)
	for i := len(a.Ranges) - 1; i > 0; i-- {
		first, last := a.Ranges[i].Last+1, a.Ranges[i-1].First-1
		for n := max(first, s.base); n <= last && n < s.next; n++ {
			rec := &s.records[int(n-s.base)+s.head]
			if rec.fate == outstanding && rec.at <= limit {
				out = s.lose(now, n, rec, round, out)
			}
		}
	}
	return out
}

func (s *Sender) lose(now core.Time, number uint64, rec *record, round *sample, out []Lost) []Lost {
	rec.fate = lost
	if rec.probe {
		s.mtu.unanswered(now, number, true, s.lossKnown)
		return out
	}
	s.mtu.vanished(now, number, s.next, int(rec.size))
	s.inFlight -= int(rec.size)
	round.lost += int(rec.size)
	s.stats.Lost++
	s.stats.LostBytes += uint64(rec.size)
	if !s.closed && !s.window.rival.active { // a full queue says nothing of the link
		s.loss += (1 - s.loss) * lossGain
		if !s.window.overfull(s) {
			s.random += (1 - s.random) * lossGain
		}
	}
	s.reorder.lost(now, number, s.anyAck && number < s.largest)
	out = append(out, Lost{Number: number, Held: rec.held, Part: rec.part})
	rec.held = nil
	return out
}

// Tail timing: what is older than a smoothed round trip plus slack is lost,
// also when nothing later arrived to prove it.
const (
	tailSlack   = 60 * time.Millisecond
	streamSlack = 2 * time.Second
	tailUnknown = 10 * time.Second // twice what a connection's answers may take
)

func (s *Sender) tailAge() time.Duration {
	if !s.rtt.known() {
		return tailUnknown
	}
	slack := tailSlack
	if s.window.rate > 0 { // on a slow link a packet ahead takes longer than that
		slack = max(slack, min(s.window.packets(4), time.Second))
	}
	if s.stream {
		slack = streamSlack
	}
	return s.rtt.smoothed + 4*s.rtt.variance + slack + max(s.reorder.tolerance.by, s.reorder.patience.by)
}

// NextTimeout is when the oldest outstanding datagram becomes lost.
func (s *Sender) NextTimeout() core.Time {
	if s.head == len(s.records) {
		return core.Never
	}
	return s.records[s.head].at.Add(s.tailAge())
}

// HandleTimeout appends what has become lost by age to out.
func (s *Sender) HandleTimeout(now core.Time, out []Lost) []Lost {
	s.estimated = false
	age := s.tailAge()
	var round sample
	for i := s.head; i < len(s.records) && s.records[i].at.Add(age) <= now; i++ {
		rec := &s.records[i]
		switch {
		case rec.fate != outstanding:
		case rec.probe:
			rec.fate = lost
			s.mtu.unanswered(now, s.base+uint64(i-s.head), false, 0)
		case rec.size == 0:
			rec.fate = lost // nobody was to acknowledge it by itself: no proof
		default:
			out = s.lose(now, s.base+uint64(i-s.head), rec, &round, out)
		}
	}
	s.trim()
	s.reorder.agedBelow(now, s.base)
	return out
}

// Close releases what the records hold and hands the packets still on their
// way to the caller, so that they can go over another link. What was lost since
// the link fell silent, and is until Reopen, is an outage and says nothing of
// the share that the link loses while it works.
func (s *Sender) Close(now core.Time, out []Lost) []Lost {
	return s.handOver(now, true, out)
}

// Moved is Close for a link that goes on at once, under another address of the
// peer's: what is on its way to the old one is lost, which says nothing of the
// link.
func (s *Sender) Moved(now core.Time, out []Lost) []Lost {
	s.owed = 0
	return s.handOver(now, false, out)
}

// handOver lets go of all records. vanished says that their sizes may be why
// they are lost.
func (s *Sender) handOver(now core.Time, vanished bool, out []Lost) []Lost {
	s.estimated = false
	for i := s.head; i < len(s.records); i++ {
		rec, number := &s.records[i], s.base+uint64(i-s.head)
		if rec.fate != outstanding {
			continue
		}
		if rec.probe {
			s.mtu.unanswered(now, number, false, 0)
		}
		if vanished {
			s.mtu.vanished(now, number, s.next, int(rec.size))
		}
		if rec.held != nil {
			out = append(out, Lost{Number: number, Held: rec.held, Part: rec.part})
			rec.held = nil
		}
	}
	s.base, s.records, s.head, s.inFlight = s.next, nil, 0, 0
	s.closed, s.loss = true, s.lossKnown
	s.random = min(s.random, s.loss)
	return out
}

// Reopen begins to use a link again that was closed: g is what it could carry
// then, zero when that was too long ago to count.
func (s *Sender) Reopen(g Guess) {
	s.closed, s.loss = false, s.lossKnown
	s.random = min(s.random, s.loss)
	off := s.window.off
	s.window, s.pacer = window{off: off}, pacer{}
	s.window.init()
	s.Begin(g)
}
