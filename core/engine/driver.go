package engine

import (
	"log/slog"
	"math/bits"
	"sync"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/core/tun"
)

// datagramWriter is what a driver needs of a socket.
type datagramWriter interface {
	Write(data []byte, segment int, p core.Path) error
}

// driver owns a session: it gives it packets, datagrams and the time, from any
// goroutine, and carries out what it wants.
//
// The order of what leaves is the order in which the session said it: a caller
// takes the driver's locks of the links it will write to, then that of the TUN, before
// it lets go of the session. All of them are taken under the session's lock, and the
// writing itself waits for no session: so there is no circle.
type driver struct {
	clock clock
	tun   tun.Queue  // takes what comes from the peer
	order sync.Mutex // of that
	// admit, when set, leaves out of a list of packets from the peer those
	// that must not reach the TUN.
	admit func([]core.Packet) []core.Packet
	log   *slog.Logger // takes what becomes of links

	mu       sync.Mutex
	session  *session.Session
	ports    [core.MaxLinks]port
	deadline core.Time // until then the timer sleeps
	came     int       // datagrams since the timer last went to sleep
	rested   core.Time // when that was
	closed   bool

	wake    chan struct{}
	stop    chan struct{}
	stopped chan struct{}
}

// port is the way out over one link.
type port struct {
	conn  datagramWriter // nil: no such link
	fail  func(error)    // told when the link cannot send
	order *sync.Mutex
}

// output is what one call of the session wants, with the ports of that moment.
type output struct {
	session.Output
	ports [core.MaxLinks]port
}

// outputs are those that nobody uses, of all drivers: each has grown to the
// 64 KB runs it once held.
var outputs = sync.Pool{New: func() any { return new(output) }}

// newDriver makes a driver whose timer runs until Close.
func newDriver(c clock, cfg session.Config, out tun.Queue, admit func([]core.Packet) []core.Packet, log *slog.Logger) (*driver, error) {
	s, err := session.New(cfg, c.Now())
	if err != nil {
		return nil, err
	}
	d := &driver{
		clock: c, tun: out, admit: admit, log: log, session: s,
		wake: make(chan struct{}, 1), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	for i := range d.ports {
		d.ports[i].order = new(sync.Mutex)
	}
	go d.runTimer()
	return d, nil
}

// Close ends the driver. Calls that come later do nothing.
func (d *driver) Close() {
	d.mu.Lock()
	already := d.closed
	d.closed = true
	d.mu.Unlock()
	if !already {
		close(d.stop)
	}
	<-d.stopped
}

// HandlePackets takes packets from the TUN.
func (d *driver) HandlePackets(batch []core.Packet) {
	if out := d.lock(); out != nil {
		d.session.HandlePackets(d.clock.Now(), batch, &out.Output)
		d.unlock(out)
	}
}

// HandleDatagrams takes datagrams that came in on a link.
func (d *driver) HandleDatagrams(id core.LinkID, batch []core.Datagram) {
	if out := d.lock(); out != nil {
		d.came += len(batch)
		d.session.HandleDatagrams(d.clock.Now(), id, batch, &out.Output)
		d.unlock(out)
	}
}

// AddLink adds a link, or replaces its keys and path. fail is called, from any
// goroutine, when the link's socket says that it cannot send.
func (d *driver) AddLink(lc session.LinkConfig, conn datagramWriter, fail func(error)) error {
	return d.do(func(now core.Time, out *session.Output) error {
		if err := d.session.AddLink(now, lc, out); err != nil {
			return err
		}
		d.ports[lc.ID].conn, d.ports[lc.ID].fail = conn, fail
		return nil
	})
}

// RemoveLink takes a link away.
func (d *driver) RemoveLink(id core.LinkID) {
	_ = d.do(func(now core.Time, out *session.Output) error {
		d.session.RemoveLink(now, id, out)
		d.ports[id].conn = nil
		return nil
	})
}

// SetPolicy changes what the user allows a link.
func (d *driver) SetPolicy(id core.LinkID, p session.Policy) {
	_ = d.do(func(now core.Time, out *session.Output) error {
		d.session.SetPolicy(now, id, p, out)
		return nil
	})
}

// SetStrategy changes how this end sends.
func (d *driver) SetStrategy(st session.Strategy) error {
	return d.do(func(now core.Time, out *session.Output) error {
		return d.session.SetStrategy(now, st, out)
	})
}

// SetReorder changes the resequencer.
func (d *driver) SetReorder(name string) error {
	return d.do(func(now core.Time, out *session.Output) error {
		return d.session.SetReorder(now, name, out)
	})
}

// SetQoS changes the rules by which this end sends.
func (d *driver) SetQoS(q session.QoS) {
	_ = d.do(func(now core.Time, out *session.Output) error {
		d.session.SetQoS(now, q, out)
		return nil
	})
}

// RuleHits returns how many packets each of the rules has matched.
func (d *driver) RuleHits() []uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session.RuleHits()
}

// do makes one of the rare calls.
func (d *driver) do(call func(now core.Time, out *session.Output) error) error {
	out := d.lock()
	if out == nil {
		return errClosed
	}
	err := call(d.clock.Now(), &out.Output)
	d.unlock(out)
	return err
}

// Snapshot tells what the session believes.
func (d *driver) Snapshot() session.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session.Snapshot(d.clock.Now())
}

// Overdue tells for how long a link has owed an answer that should have come.
func (d *driver) Overdue(id core.LinkID) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session.Overdue(d.clock.Now(), id)
}

// Drain takes from the session what it has not delivered, for the one that
// takes its place. The packets are valid as long as the driver exists.
func (d *driver) Drain() []core.Packet {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.session.Drain()
}

// lock takes the session and an output for it; nil when the driver is closed.
func (d *driver) lock() *output {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	return outputs.Get().(*output)
}

// unlock lets go of the session and carries out what it wanted.
func (d *driver) unlock(out *output) {
	links := d.takePorts(out)
	if len(out.Packets) > 0 {
		d.order.Lock()
	}
	if next := d.session.NextTimeout(); next < d.deadline {
		d.deadline = next
		select {
		case d.wake <- struct{}{}:
		default: // it will look anyway
		}
	}
	d.mu.Unlock()

	for _, r := range out.Runs {
		d.send(out, r)
	}
	for set := links; set != 0; set &= set - 1 {
		out.ports[bits.TrailingZeros16(set)].order.Unlock()
	}
	if len(out.Packets) > 0 {
		packets := out.Packets
		if d.admit != nil {
			packets = d.admit(packets)
		}
		if len(packets) > 0 {
			_ = d.tun.Write(packets) // fails only when the device is closed, at the end
		}
		d.order.Unlock()
	}

	logChanges(d.log, out.Changes)
	out.Runs, out.Packets, out.Changes = out.Runs[:0], out.Packets[:0], out.Changes[:0] // done: not to be done again
	outputs.Put(out)
}

// takePorts locks the ports of the links that an output sends on and returns
// the set of them.
func (d *driver) takePorts(out *output) (links uint16) {
	for _, r := range out.Runs {
		if bit := uint16(1) << r.Link; links&bit == 0 {
			links |= bit
			out.ports[r.Link] = d.ports[r.Link]
			out.ports[r.Link].order.Lock()
		}
	}
	return links
}

func (d *driver) send(out *output, r session.Run) {
	p := out.ports[r.Link]
	if p.conn == nil {
		return // the link has gone in the same call
	}
	if err := p.conn.Write(r.Data, r.Segment, r.Path); err != nil && p.fail != nil {
		p.fail(err)
	}
}

// runTimer calls the session when its deadline has come.
func (d *driver) runTimer() {
	defer close(d.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-d.wake:
		case <-d.stop:
			return
		}
		timer.Reset(d.catchUp())
	}
}

// catchUp calls the session until its next deadline is in the future, and
// returns how long the timer may sleep.
func (d *driver) catchUp() time.Duration {
	for {
		out := d.lock()
		if out == nil {
			return longestSleep
		}
		now := d.clock.Now()
		if next := d.session.NextTimeout(); next > now {
			wait := min(next.Sub(now), d.longest(now))
			d.deadline = now.Add(wait)
			d.unlock(out)
			return wait
		}
		d.session.HandleTimeout(now, &out.Output)
		d.unlock(out)
	}
}

// A timer sleeps for napTime at most while napDatagrams come in that time, or more:
// then a report is due that soon after each, and to wake the timer for it, which those
// who read the datagrams would do, takes longer than to let it look in vain.
const (
	napTime      = time.Millisecond
	napDatagrams = 16
	longestSleep = time.Hour
)

// longest is how long the timer may sleep from now, whatever the session's deadline.
func (d *driver) longest(now core.Time) time.Duration {
	busy := d.came >= napDatagrams && now.Sub(d.rested) <= time.Duration(d.came)*napTime/napDatagrams
	d.came, d.rested = 0, now
	if busy {
		return napTime
	}
	return longestSleep
}
