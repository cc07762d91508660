package session

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core/packet"
	"github.com/multilink-vpn/multilink/core/wire"
)

// TestMemoryIsBounded floods a server's session that has no link with small
// packets of many flows, until not the bytes of the queue but the number of
// packets is at its limit: what is more is dropped and counted. Once there is a
// link, all is delivered and the session is quiet, the memory is given back.
func TestMemoryIsBounded(t *testing.T) {
	const (
		flood, size = 3 * maxPackets / 2, 200
		flows       = 64
		burst       = 64
		// More than the packets: places in tables and rings.
		room = 16 << 20
	)
	w := newWorld(t, wholeStrategy, "flow")
	e := w.ends[server]
	before := heapInUse()
	for n := uint64(0); n < flood; {
		var batch [][]byte
		for range burst {
			p := numbered(n, size)
			binary.BigEndian.PutUint16(p[20:], uint16(5000+n%flows))
			batch, n = append(batch, p), n+1
		}
		w.send(server, batch...)
	}
	if live := e.s.pool.Live(); live != maxPackets {
		t.Errorf("%d packets are held, want the limit of %d", live, maxPackets)
	}
	dropped := w.counters(server).DropQueueFull + w.counters(server).DropQueueSignal
	if dropped != flood-maxPackets {
		t.Errorf("%d packets were counted as dropped, want %d", dropped, flood-maxPackets)
	}
	if grown := int64(heapInUse()) - int64(before); grown > maxPackets*packet.Size+room {
		t.Errorf("a full session takes %d bytes, want at most %d", grown, maxPackets*packet.Size+room)
	} else {
		t.Logf("a full session takes %d bytes", grown)
	}

	w.link(0, pipe{delay: 10 * time.Millisecond}, pipe{delay: 10 * time.Millisecond})
	w.run(time.Minute)
	if live := e.s.pool.Live(); live != 0 {
		t.Errorf("%d packets are held once all is quiet", live)
	}
	arrived := uint64(len(w.ends[client].received))
	w.events = nil // and all else that is not the sessions' own
	for _, other := range w.ends {
		other.received, other.at, other.out = nil, nil, Output{}
	}
	if grown := int64(heapInUse()) - int64(before); grown > room/16 {
		t.Errorf("a session that has been full keeps %d bytes", grown)
	}
	c := w.counters(server)
	if gone := c.DropQueueFull + c.DropQueueSignal + c.DropQueueAge; arrived+gone < flood {
		t.Errorf("of %d packets %d arrived and %d were counted as dropped", flood, arrived, gone)
	}
}

// TestGapsAreBounded has a link skip more numbers than the session waits for.
func TestGapsAreBounded(t *testing.T) {
	w := twoLinks(t, wholeStrategy)
	s := w.ends[client].s
	s.begin(w.now, &w.ends[client].out)
	s.updateEnv()
	s.env.Repair = 50 * time.Millisecond
	l := s.links[0]
	before := s.env.OpenGaps
	s.openGaps(l, wire.Range{First: 1 << 20, Last: 1 << 40})
	if len(l.gaps) != maxGaps || s.env.OpenGaps != before+maxGaps {
		t.Fatalf("%d gaps of the link, %d of all: want %d", len(l.gaps), s.env.OpenGaps, maxGaps)
	}
	s.closeGap(0, 1<<20)
	s.openGaps(l, wire.Range{First: 1 << 41, Last: 1 << 42})
	if len(l.gaps) != maxGaps {
		t.Errorf("%d gaps after one was closed and more came, want %d", len(l.gaps), maxGaps)
	}
	s.now = s.now.Add(time.Second)
	s.updateEnv()
	if len(l.gaps) != 0 || s.env.OpenGaps != 0 {
		t.Errorf("%d gaps of the link, %d of all, after their time", len(l.gaps), s.env.OpenGaps)
	}
}
