package session

import (
	"slices"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
)

// blockUDP blocks or unblocks UDP on links, both ways, at once.
func (w *world) blockUDP(on bool, links ...core.LinkID) {
	for _, e := range w.ends {
		for _, id := range links {
			e.pipes[id].noUDP = on
		}
	}
}

// transports are what the ends send on, by link.
func (w *world) transports() (list []string) {
	for _, e := range w.ends {
		for _, l := range e.s.Snapshot(w.now).Links {
			list = append(list, l.Transport+" "+l.State)
		}
	}
	return list
}

func (w *world) wantTransports(when string, want ...string) {
	w.t.Helper()
	if got := w.transports(); !slices.Equal(got, want) {
		w.t.Errorf("%s: %q, want %q", when, got, want)
	}
}

// TestUDPBlockedOnTheOnlyLink: a few seconds without UDP, and the control
// connection carries the data; when UDP comes back it does again.
func TestUDPBlockedOnTheOnlyLink(t *testing.T) {
	atMoments(func(after time.Duration) { udpBlocked(t, after) })
}

func udpBlocked(t *testing.T, after time.Duration) {
	w := squeezed(t, 0, true)
	w.stream(server, 2*mbit, 1400, 30*time.Second)
	w.run(time.Second + after)
	w.blockUDP(true, 0)
	w.run(5 * time.Second)
	w.wantTransports("blocked after "+after.String(), "tcp up", "tcp up")
	if gap := w.longestGap(client); gap > blockedAsked+time.Second {
		t.Errorf("blocked after %v: nothing came for %v", after, gap)
	}
	w.blockUDP(false, 0)
	w.run(7 * time.Second)
	w.wantTransports("free again after "+after.String(), "udp up", "udp up")
	e := w.ends[client]
	e.received, e.at = e.received[:0], e.at[:0]
	w.run(5 * time.Second)
	if gap := w.longestGap(client); gap > 100*time.Millisecond {
		t.Errorf("free again after %v: nothing came for %v while UDP worked", after, gap)
	}
	for i, e := range w.ends {
		var told []string
		for _, c := range e.changes {
			if c.Kind == TransportChanged {
				told = append(told, c.Was+">"+c.Is)
			}
			if c.Kind == StateChanged && c.Is == probing.String() {
				t.Errorf("end %d told of a link that begins anew as a %s one", i, c.Is)
			}
		}
		if want := []string{"udp>tcp", "tcp>udp"}; !slices.Equal(told, want) {
			t.Errorf("end %d told %q, want %q", i, told, want)
		}
	}
}

// TestUDPBlockedOneWayOnTheOnlyLink: it is no use to receive what nobody can be
// told of, nor to send what does not arrive.
func TestUDPBlockedOneWayOnTheOnlyLink(t *testing.T) {
	for from := range 2 {
		atMoments(func(after time.Duration) { udpBlockedOneWay(t, from, after) })
	}
}

func udpBlockedOneWay(t *testing.T, from int, after time.Duration) {
	w := squeezed(t, 0, true)
	w.stream(server, 2*mbit, 1400, 30*time.Second)
	w.stream(client, 2*mbit, 1400, 30*time.Second)
	w.run(time.Second + after)
	w.ends[from].pipes[0].noUDP = true
	w.run(6 * time.Second)
	w.wantTransports("blocked one way after "+after.String(), "tcp up", "tcp up")
	for to := range 2 {
		if gap := w.longestGap(to); gap > blockedAsked+time.Second {
			t.Errorf("what end %d sends by UDP is lost after %v: nothing came to end %d for %v", from, after, to, gap)
		}
	}
	w.ends[from].pipes[0].noUDP = false
	w.run(7 * time.Second)
	w.wantTransports("free again after "+after.String(), "udp up", "udp up")
}

// TestUDPBlockedFromTheBeginning: a link that never had UDP comes up.
func TestUDPBlockedFromTheBeginning(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	p := pipe{rate: 20 * mbit, delay: 10 * time.Millisecond, noUDP: true}
	w.link(0, p, p)
	w.run(4 * time.Second)
	w.wantTransports("blocked", "tcp up", "tcp up")
	n := w.stream(server, 8*mbit, 1400, 3*time.Second)
	w.run(5 * time.Second)
	w.wantAll(n)
}

// TestUDPBlockedInOneDirection: a link whose answers do not come by UDP takes its
// control connection for both; one that still receives is used for that.
func TestUDPBlockedInOneDirection(t *testing.T) {
	for i, want := range [][]string{
		client: {"udp down", "udp up", "udp up", "udp up"},
		server: {"tcp up", "udp up", "tcp up", "udp up"},
	} {
		w := squeezed(t, 0, false)
		w.ends[i].pipes[0].noUDP = true
		w.run(12 * time.Second)
		w.wantTransports("blocked one way", want...)
	}
}

// TestStreamsAreTheLastResort: while a link with UDP works, one without carries
// no packets.
func TestStreamsAreTheLastResort(t *testing.T) {
	w := squeezed(t, 0, false)
	w.blockUDP(true, 0)
	w.run(10 * time.Second)
	before := w.ends[server].s.Snapshot(w.now).Links[0].TxBytes
	n := w.stream(server, 12*mbit, 1400, 3*time.Second)
	w.run(4 * time.Second)
	w.wantAll(n)
	v := w.ends[server].s.Snapshot(w.now).Links[0]
	if sent := v.TxBytes - before; v.Transport != "tcp" || sent > 20_000 {
		t.Errorf("%d bytes over %s", sent, v.Transport)
	}
	w.ends[server].pipes[1].dead, w.ends[client].pipes[1].dead = true, true
	n = w.stream(server, 8*mbit, 1400, 2*time.Second)
	w.ends[client].received = nil
	w.run(4 * time.Second)
	if lost, _ := missing(w.ends[client], n); lost > n/100 {
		t.Errorf("%d of %d packets lost with only the stream left", lost, n)
	}
}

// TestStreamsLoseNothing: what a stream that stands still for a moment delivers late
// is not sent again.
func TestStreamsLoseNothing(t *testing.T) {
	w := squeezed(t, 0, true)
	w.blockUDP(true, 0)
	w.run(5 * time.Second)
	p := w.ends[server].pipes[0]
	p.queue = time.Second
	before := w.counters(server).Retransmitted
	n := w.stream(server, 8*mbit, 1400, 4*time.Second)
	w.at(w.now.Add(2*time.Second), func() { p.free = w.now.Add(300 * time.Millisecond) })
	w.run(6 * time.Second)
	c := w.counters(server)
	if again := c.Retransmitted - before; again > 0 || w.longestGap(client) < 250*time.Millisecond {
		t.Errorf("%d packets were sent again", again)
	}
	if lost, repeated := missing(w.ends[client], n); lost != int(c.DropQueueSignal) || repeated > 0 {
		t.Errorf("%d of %d packets lost, %d of them in the queue; %d came twice", lost, n, c.DropQueueSignal, repeated)
	}
}

// TestCallsTakeNoStream: packets that want low latency do not take the faster link
// either while that has only its control connection, and a backup with UDP is
// called for them.
func TestCallsTakeNoStream(t *testing.T) {
	for _, role := range []Role{Active, Backup} {
		w := squeezed(t, 0, false)
		w.rules(1, Policy{Role: role})
		w.blockUDP(true, 0)
		w.run(10 * time.Second)
		w.marked(client, numbered(0, 200))
		w.run(time.Second)
		for _, e := range w.ends {
			e.received = nil
		}
		w.talk(5 * time.Second)
		w.run(6 * time.Second)
		for i, e := range w.ends {
			c := e.s.Snapshot(w.now).Counters
			if len(e.received) != 250 || c.TxLowLatency < 200 {
				t.Errorf("other link %v: %d of 250 packets came to end %d, which sent %d with low latency", role, len(e.received), i, c.TxLowLatency)
			}
			called := slices.ContainsFunc(e.changes, func(c Change) bool { return c.Kind == BackupCalled && c.Link == 1 })
			if called != (role == Backup) {
				t.Errorf("other link %v: end %d told of a call %v", role, i, called)
			}
		}
	}
}

// TestDeadLinkStaysWithUDP: where nothing gets through, UDP is what is tried,
// so that the link returns as soon as it can.
func TestDeadLinkStaysWithUDP(t *testing.T) {
	w := squeezed(t, 0, false)
	for _, e := range w.ends {
		e.pipes[0].dead = true
	}
	w.run(20 * time.Second)
	w.wantTransports("dead", "udp down", "udp up", "udp down", "udp up")
}

// TestLongRoundTripIsNotBlocked: a link alone whose answers take seconds carries
// data over UDP, from the beginning and also after it was idle; when its UDP is
// blocked it still takes the other way.
func TestLongRoundTripIsNotBlocked(t *testing.T) {
	for _, trip := range []time.Duration{time.Second, 3200 * time.Millisecond, 4900 * time.Millisecond} {
		w := newWorld(t, wholeStrategy, "flow")
		w.roundTrip = trip
		p := pipe{rate: 20 * mbit, delay: trip / 2}
		w.link(0, p, p)
		w.run(2*trip + 3*time.Second)
		w.wantTransports("after "+trip.String(), "udp up", "udp up")
		for range 2 {
			n := w.stream(server, mbit/10, 1400, 10*time.Second)
			w.run(10*time.Second + 3*trip)
			if len(w.ends[client].received) < n/2 {
				t.Errorf("round trip %v: %d of %d packets came", trip, len(w.ends[client].received), n)
			}
			w.ends[client].received = nil
			w.run(time.Minute)
		}
		if w.transportChanges(client) > 0 {
			t.Errorf("round trip %v: taken for a blocked link", trip)
		}
		w.blockUDP(true, 0)
		w.run(blockedMost + 4*trip)
		w.wantTransports("blocked, "+trip.String(), "tcp up", "tcp up")
	}
}

// transportChanges is how often an end has told of another transport.
func (w *world) transportChanges(i int) (n int) {
	for _, c := range w.ends[i].changes {
		if c.Kind == TransportChanged {
			n++
		}
	}
	return n
}
