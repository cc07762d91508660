package emu

import (
	"math"
	"slices"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
)

// spinTime is how long before a departure a spinning loop stops sleeping.
const spinTime = int64(50 * time.Microsecond)

// gather is the least time between two rounds of the loop that move frames. Waking for
// every frame of a fast link, ten thousand times a second and more, would take
// most of a processor from the programs under test; frames that come or are
// due meanwhile go together. They leave later by half of it on the average,
// and arrive at their receive timestamps all the same.
const gather = int64(150 * time.Microsecond)

// maxAge is how long a frame may have waited in its socket; more is a step of
// the wall clock.
const maxAge = int64(10 * time.Second)

// maxRounds bounds the batches read from one port before the others and the
// departures have their turn.
const maxRounds = 4

// loop owns all models and ports and runs on a thread of its own. Others talk
// to it in commands.
type loop struct {
	epoch    time.Time // time 0 of the models
	spin     int64     // ns
	sink     func(Captured)
	wake     int // eventfd
	commands chan func()
	stopped  bool
	look     int64 // not before, unless for a command
	failure  error // why the loop ended by itself
	reserved bool  // the thread has processor time of its own

	hops    []*hop
	entries []*entry
	exits   []*exit
	polls   []unix.PollFd // the eventfd, then one for each entry

	pool  pool
	slots slots

	lateness *hdr.Histogram
	drops    HiddenDrops
}

func newLoop(opts Options) (*loop, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	l := &loop{
		epoch:    time.Now(),
		sink:     opts.PcapSink,
		wake:     wake,
		commands: make(chan func(), 1),
		polls:    []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}},
		lateness: newLateness(),
	}
	if opts.Spin {
		l.spin = spinTime
	}
	for i := range l.slots.frames {
		l.slots.frames[i] = l.pool.get()
	}
	return l, nil
}

// now returns the time on the models' clock.
func (l *loop) now() int64 { return int64(time.Since(l.epoch)) }

// run is the loop.
func (l *loop) run() {
	if err := preparePromptThread(); err != nil {
		l.failure = err
		return
	}
	// Spinning would use the time up.
	l.reserved = l.spin == 0 && reserveTime() == nil
	for !l.stopped {
		switch err := l.wait(); err {
		case nil:
			l.obey()
			l.receive()
		case unix.EINTR:
		default:
			l.failure = err
			return
		}
		l.depart()
	}
}

// wait sleeps until a frame or a command comes or the next departure is due;
// after a round that moved frames first for the time to gather more, which
// only a command cuts short.
func (l *loop) wait() error {
	if pause := l.look - l.now(); pause > 0 && l.spin == 0 {
		if err := poll(l.polls[:1], pause); err != nil {
			return err
		}
	}
	timeout := maxSleep
	if h := l.earliest(); h != nil {
		timeout = min(timeout, max(0, h.next-l.now()-l.spin))
	}
	return poll(l.polls, timeout)
}

// obey runs the commands that have come.
func (l *loop) obey() {
	if l.polls[0].Revents == 0 {
		return
	}
	var counter [8]byte
	unix.Read(l.wake, counter[:]) // resets it; nothing to read is fine
	for {
		select {
		case command := <-l.commands:
			command()
		default:
			return
		}
	}
}

// receive reads the ports that have frames.
func (l *loop) receive() {
	for i, e := range l.entries {
		if l.polls[i+1].Revents == 0 {
			continue
		}
		for range maxRounds {
			n, err := e.port.receive(&l.slots)
			l.accept(e.lane, n)
			if err != nil && !temporary(err) && err != unix.ENETDOWN {
				// The interface is gone for good: do not ask again. (One that
				// is only down says so once.)
				l.polls[i+1].Fd = -1
			}
			if n < batch {
				break
			}
		}
	}
}

// accept puts the first n received frames into their lane.
func (l *loop) accept(to *lane, n int) {
	if n == 0 {
		return
	}
	moment := time.Now()
	now, wall := int64(moment.Sub(l.epoch)), moment.UnixNano()
	l.look = now + gather
	for i := range n {
		f := l.slots.frames[i]
		f.size = l.slots.size[i]
		switch {
		case f.size < etherHeader:
			continue
		case f.size > MaxMTU+etherHeader:
			l.drops.Oversize++
			continue
		}
		spare := l.pool.get()
		if spare == nil {
			l.drops.Memory++
			continue
		}
		l.slots.frames[i] = spare
		arrival := now
		if age := wall - l.slots.arrival[i]; age >= 0 && age < maxAge {
			arrival = now - age
		}
		l.capture(to, false, arrival, f)
		f.lane, f.route, f.hop = to, to.hops, 0
		l.enter(arrival, f)
	}
}

// enter hands a frame to the model it has come to.
func (l *loop) enter(at int64, f *frame) {
	h := f.route[f.hop]
	if h.model.Enqueue(at, link.Packet{Data: f.data(), Size: f.size - etherHeader, Tag: f}) != link.Accepted {
		l.pool.put(f)
	}
	h.refresh()
}

// clone is the models' way to duplicate a packet.
func (l *loop) clone(p link.Packet) (link.Packet, bool) {
	twin := l.pool.get()
	if twin == nil {
		l.drops.Memory++
		return link.Packet{}, false
	}
	f := p.Tag.(*frame)
	copy(twin.bytes[:], f.data())
	twin.size, twin.lane, twin.route, twin.hop = f.size, f.lane, f.route, f.hop
	p.Data, p.Tag = twin.data(), twin
	return p, true
}

// earliest returns the model that is to be looked at first, nil when all are
// empty.
func (l *loop) earliest() *hop {
	var first *hop
	next := int64(math.MaxInt64)
	for _, h := range l.hops {
		if h.next < next {
			first, next = h, h.next
		}
	}
	return first
}

// depart moves on everything that is due.
func (l *loop) depart() {
	now := l.now()
	for h := l.earliest(); h != nil && h.next <= now; h = l.earliest() {
		p, ok := h.model.Pop(now)
		h.refresh()
		if !ok {
			continue
		}
		f := p.Tag.(*frame)
		if f.hop++; f.hop < len(f.route) {
			l.enter(p.At, f)
			continue
		}
		f.due = p.At
		l.leave(f)
	}
	for _, x := range l.exits {
		l.flush(x)
	}
}

// leave appends a frame to those to be sent.
func (l *loop) leave(f *frame) {
	x := f.lane.out
	if x == nil {
		f.lane.lose(f)
		l.pool.put(f)
		return
	}
	x.pending[x.count] = f
	if x.count++; x.count == batch {
		l.flush(x)
	}
}

// flush sends what is pending at an exit.
func (l *loop) flush(x *exit) {
	pending := x.pending[:x.count]
	x.count = 0
	for len(pending) > 0 {
		now := l.now()
		n, err := x.port.transmit(pending)
		for _, f := range pending[:n] {
			l.sent(now, f)
		}
		pending = pending[n:]
		if err == nil || err == unix.EINTR {
			continue
		}
		f := pending[0]
		if linkDown(err) {
			f.lane.lose(f)
		} else {
			l.drops.Send++
		}
		l.pool.put(f)
		pending = pending[1:]
	}
}

// sent accounts for a frame that was sent at now.
func (l *loop) sent(now int64, f *frame) {
	l.look = now + gather
	late := max(1, now-f.due)
	// Beyond its range of 100 s the histogram refuses a value: count the most.
	l.lateness.RecordValue(min(late, l.lateness.HighestTrackableValue()))
	f.lane.drift.note(f.due, late)
	l.capture(f.lane, true, now, f)
	l.pool.put(f)
}

// capture shows a frame to the sink.
func (l *loop) capture(on *lane, left bool, at int64, f *frame) {
	if l.sink != nil {
		l.sink(Captured{Link: on.link, Dir: on.dir, Left: left, At: l.epoch.Add(time.Duration(at)), Frame: f.data()})
	}
}

// open starts to read a lane's frames from a port.
func (l *loop) open(to *lane, p port) {
	l.entries = append(l.entries, &entry{port: p, lane: to})
	l.polls = append(l.polls, unix.PollFd{Fd: int32(p.fd()), Events: unix.POLLIN})
}

// direct lets a lane's frames leave at a port.
func (l *loop) direct(from *lane, p port) {
	from.out = &exit{port: p}
	l.exits = append(l.exits, from.out)
}

// cut ends a lane: nothing comes in any more, what is in its own model is
// dropped, and what is on its way elsewhere will be.
func (l *loop) cut(ln *lane) {
	if i := slices.IndexFunc(l.entries, func(e *entry) bool { return e.lane == ln }); i >= 0 {
		l.entries = slices.Delete(l.entries, i, i+1)
		l.polls = slices.Delete(l.polls, i+1, i+2)
	}
	l.exits = slices.DeleteFunc(l.exits, func(x *exit) bool { return x == ln.out })
	ln.out = nil
	ln.own.model.Flush(l.now(), func(p link.Packet) { l.pool.put(p.Tag.(*frame)) })
	ln.own.refresh()
}

// newHop makes a model that passes everything.
func (l *loop) newHop(seed uint64) *hop {
	h := &hop{model: link.New(link.Config{}, seed), next: math.MaxInt64}
	h.model.Clone = l.clone
	l.hops = append(l.hops, h)
	return h
}

// newLane makes one direction of a link.
func (l *loop) newLane(name string, dir Direction, seed uint64) *lane {
	return &lane{link: name, dir: dir, own: l.newHop(seed)}
}

// set configures a model.
func (l *loop) set(h *hop, cfg link.Config) {
	h.model.Set(l.now(), cfg)
	h.refresh()
}
