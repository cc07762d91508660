package session

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/wire"
)

// spoken makes p, of numbered or answered, an RTP packet: Opus of 20 ms.
func spoken(p []byte, i int) []byte {
	b := p[28:]
	b[0], b[1] = 0x80, 111
	binary.BigEndian.PutUint16(b[2:], uint16(i))
	binary.BigEndian.PutUint32(b[4:], uint32(i)*960)
	binary.BigEndian.PutUint32(b[8:], 0x1a2b3c4d)
	return p
}

// call sends n packets of a call each way, one every 20 ms.
func (w *world) call(n, size int) {
	for i := range n {
		t := time.Duration(i) * 20 * time.Millisecond
		w.at(w.now.Add(t), func() { w.send(client, spoken(numbered(0, size), i)) })
		w.at(w.now.Add(t+10*time.Millisecond), func() { w.send(server, spoken(answered(0, size), i)) })
	}
}

func (w *world) counters(i int) Counters { return w.ends[i].s.Snapshot(w.now).Counters }

// TestCallIsRecognised: a call gets low latency at both ends, and the flows say
// so and name the link.
func TestCallIsRecognised(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	w.link(0, calm(10*time.Millisecond), calm(60*time.Millisecond))
	w.link(1, calm(60*time.Millisecond), calm(10*time.Millisecond))
	w.run(time.Second)
	w.call(100, 120)
	w.run(3 * time.Second)
	for i, link := range []string{"link0", "link1"} {
		c := w.counters(i)
		if c.TxLowLatency < 96 || c.CallsCapped > 0 || len(w.ends[1-i].received) != 100 {
			t.Errorf("end %d: %d of 100 marked, %d capped, %d came", i, c.TxLowLatency, c.CallsCapped, len(w.ends[1-i].received))
		}
		flows := w.ends[i].s.Flows(w.now)
		if len(flows) != 1 {
			t.Fatalf("end %d: %d flows", i, len(flows))
		}
		f := flows[0]
		if f.Class != ClassCall || len(f.Links) != 1 || f.Links[0] != link || f.Sent.SSRC != "1a2b3c4d" || *f.Sent.PayloadType != 111 ||
			f.Sent.Packets != 100 || f.Received.State != "call" {
			t.Errorf("end %d: %+v", i, f)
		}
	}
	st := wholeStrategy
	st.Classifier = "off"
	for _, e := range w.ends {
		if err := e.s.SetStrategy(w.now, st, &e.out); err != nil {
			t.Fatal(err)
		}
	}
	before := w.counters(client).TxLowLatency
	w.call(50, 120)
	w.run(2 * time.Second)
	if after := w.counters(client).TxLowLatency; after != before {
		t.Errorf("%d packets marked with the classifier off", after-before)
	}
}

// TestCallsAreCapped: what looks like a call and wants the whole link is an
// ordinary flow above the cap.
func TestCallsAreCapped(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	w.link(0, pipe{rate: 4 * mbit, delay: 10 * time.Millisecond, queue: 100 * time.Millisecond}, calm(10*time.Millisecond))
	w.run(time.Second)
	const packets, size = 3000, 1200
	for i := range packets { // 4.8 Mbit/s
		w.at(w.now.Add(time.Duration(i)*2*time.Millisecond), func() { w.send(client, spoken(numbered(0, size), i)) })
	}
	w.run(7 * time.Second)
	c := w.counters(client)
	t.Logf("%d of %d with low latency, %d capped", c.TxLowLatency, packets, c.CallsCapped)
	if got := float64(c.TxLowLatency) * size * 8 / 6; got > 0.5*4e6 {
		t.Errorf("%.1f Mbit/s of 4 with low latency", got/1e6)
	}
	if c.CallsCapped == 0 {
		t.Error("nothing was capped")
	}
}

// TestCallsAreSentTwice: a call over a lossy link loses next to nothing and is
// delivered once.
func TestCallsAreSentTwice(t *testing.T) {
	st := wholeStrategy
	st.Retransmit = false
	w := newWorld(t, st, "flow")
	lossy := calm(10 * time.Millisecond)
	lossy.loss = 0.05
	w.link(0, lossy, calm(10*time.Millisecond))
	w.link(1, calm(200*time.Millisecond), calm(200*time.Millisecond))
	w.run(time.Second)
	w.call(3000, 120)
	w.run(62 * time.Second)
	seen := map[uint16]bool{}
	for _, p := range w.ends[server].received {
		n := binary.BigEndian.Uint16(p[30:])
		if seen[n] {
			t.Fatalf("packet %d was delivered twice", n)
		}
		seen[n] = true
	}
	c := w.counters(client)
	t.Logf("%d of 3000 came, %d copies", len(seen), c.CallCopies)
	if len(seen) < 2980 || c.CallCopies < 2500 {
		t.Errorf("%d of 3000 came, %d copies", len(seen), c.CallCopies)
	}
}

func TestAllowance(t *testing.T) {
	var a allowance
	now := core.Time(time.Second)
	taken := 0
	for a.take(now, 1000, 500, 100) {
		taken += 100
	}
	if taken != 500 {
		t.Errorf("%d bytes at once, want 500", taken)
	}
	if now = now.Add(time.Hour); !a.take(now, 1000, 500, 5000) || a.take(now, 1000, 500, 1) {
		t.Error("an hour fills it once, and a large packet empties it")
	}
	if a.take(now.Add(4*time.Second), 1000, 500, 1) || !a.take(now.Add(6*time.Second), 1000, 500, 1) {
		t.Error("what was taken too much is paid back")
	}
}

// TestAnswerIsMarked: what the server sends in a flow that the client marks has
// low latency before it is recognised by itself.
func TestAnswerIsMarked(t *testing.T) {
	w := newWorld(t, wholeStrategy, "flow")
	w.link(0, calm(10*time.Millisecond), calm(10*time.Millisecond))
	w.run(time.Second)
	for i := range 20 {
		w.at(w.now.Add(time.Duration(i)*20*time.Millisecond), func() { w.send(client, spoken(numbered(0, 120), i)) })
	}
	w.run(time.Second)
	w.send(server, answered(1, 120))
	w.run(time.Second)
	if c := w.counters(server); c.TxLowLatency != 1 {
		t.Errorf("%d answers with low latency, flag %d", c.TxLowLatency, wire.LowLatency)
	}
}
