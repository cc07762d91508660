package link

import (
	"math/rand/v2"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// bottleneck is a link with a drop-tail queue, a delay and loss, and the
// peer's receiver at its end, in virtual time.
type bottleneck struct {
	rate   float64 // bytes/s
	delay  time.Duration
	queue  time.Duration
	loss   float64
	jitter time.Duration
	step   time.Duration // between two looks at what is due
	// stall is how long the sender's host reads no report, over and over; it
	// then reads all that have come. 0: it reads each.
	stall time.Duration

	s       *Sender
	r       Receiver
	now     core.Time
	free    core.Time
	last    core.Time // latest delivery, so that order is kept
	flight  []flying
	reports []report
	random  *rand.Rand
	pool    *packet.Pool
	lost    []Lost

	delivered int
	queueing  []time.Duration // of delivered datagrams
}

type flying struct {
	at     core.Time
	number uint64
}

type report struct {
	at  core.Time
	ack wire.Ack
}

func newBottleneck(rate float64, delay time.Duration) *bottleneck {
	return &bottleneck{
		rate: rate, delay: delay, queue: 100 * time.Millisecond, step: 500 * time.Microsecond,
		s: NewSender(true), now: core.Time(time.Hour),
		random: rand.New(rand.NewPCG(3, 4)), pool: packet.NewPool(1 << 15),
	}
}

// saturate runs d with a sender that always has something to send, step by
// step.
func (b *bottleneck) saturate(d time.Duration) {
	for end := b.now.Add(d); b.now < end; b.now += core.Time(b.step) {
		b.deliver()
		for {
			open, _ := b.s.Open(b.now)
			if !open {
				break
			}
			b.send()
		}
		b.s.Limited()
	}
}

// offer runs d with a sender that has so many bytes per second to send.
func (b *bottleneck) offer(rate float64, d time.Duration) {
	const step = 500 * time.Microsecond
	waiting := 0.0
	for end := b.now.Add(d); b.now < end; b.now += core.Time(step) {
		b.deliver()
		for waiting += rate * step.Seconds(); waiting >= segment; waiting -= segment {
			if open, _ := b.s.Open(b.now); !open {
				b.s.Limited()
				break
			}
			b.send()
		}
	}
}

func (b *bottleneck) send() { b.sendSized(segment) }

func (b *bottleneck) sendSized(size int) {
	number := b.s.NextNumber()
	b.s.Sent(b.now, size, true, nil, wire.Whole)
	if b.free.Sub(b.now) > b.queue || b.random.Float64() < b.loss {
		return
	}
	wait := max(0, b.free.Sub(b.now))
	b.free = max(b.free, b.now).Add(time.Duration(float64(size) / b.rate * 1e9))
	at := b.free.Add(b.delay)
	if b.jitter > 0 {
		at = at.Add(time.Duration(b.random.Int64N(int64(b.jitter))))
	}
	b.last = max(b.last, at)
	b.flight = append(b.flight, flying{b.last, number})
	b.queueing = append(b.queueing, wait)
}

func (b *bottleneck) deliver() {
	for len(b.flight) > 0 && b.flight[0].at <= b.now {
		b.r.Received(b.flight[0].at, b.flight[0].number, segment, true)
		b.delivered += segment
		b.flight = b.flight[1:]
		if b.r.AckDue() <= b.now {
			b.report()
		}
	}
	if b.r.AckDue() <= b.now {
		b.report()
	}
	if b.stall > 0 && b.now%core.Time(b.stall) != 0 {
		return
	}
	for len(b.reports) > 0 && b.reports[0].at <= b.now {
		b.lost = b.s.Acked(b.now, &b.reports[0].ack, b.lost[:0])
		b.reports = b.reports[1:]
	}
	b.lost = b.s.HandleTimeout(b.now, b.lost[:0])
}

func (b *bottleneck) report() {
	var a wire.Ack
	b.r.Report(b.now, 0, &a)
	a.Ranges = append([]wire.Range(nil), a.Ranges...)
	a.Arrivals = append([]wire.Arrival(nil), a.Arrivals...)
	b.reports = append(b.reports, report{b.now.Add(b.delay), a})
}

// share measures the delivered share of the rate and the mean queueing delay
// over d.
func (b *bottleneck) share(d time.Duration) (share float64, queueing time.Duration) {
	b.delivered, b.queueing = 0, nil
	b.saturate(d)
	var sum time.Duration
	for _, q := range b.queueing {
		sum += q
	}
	return float64(b.delivered) / b.rate / d.Seconds(), sum / time.Duration(max(1, len(b.queueing)))
}

const mbit = 1e6 / 8
