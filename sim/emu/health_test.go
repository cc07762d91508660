package emu

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/link"
)

func TestHealthVerdict(t *testing.T) {
	for _, c := range []struct {
		name   string
		health Health
		says   string // "" for conclusive
	}{
		{"good", Health{LatenessP99: 0.0004}, ""},
		{"late", Health{LatenessP99: 0.0006}, "late: p99 0.600 ms, bound 0.500 ms"},
		{"dropped", Health{Drops: HiddenDrops{Socket: 3}}, "Socket:3"},
		{"offload", Health{Drops: HiddenDrops{Oversize: 1}}, "DisableTxChecksum"},
	} {
		c.health.judge()
		bad, why := c.health.Inconclusive()
		if bad != (c.says != "") || !strings.Contains(why, c.says) {
			t.Errorf("%s: inconclusive %v, %q", c.name, bad, why)
		}
	}
}

func TestDrift(t *testing.T) {
	const second, packets = int64(time.Second), 1000
	for _, c := range []struct {
		name string
		late func(at int64) int64
		want float64
	}{
		{"constant", func(int64) int64 { return 100e3 }, 0},
		{"each second 1 ms later", func(at int64) int64 { return at / second * 1e6 }, 0.001},
		{"jitter within a second", func(at int64) int64 { return at % 7 * 1e5 }, 1e-5},
	} {
		var d drift
		for i := range int64(5 * packets) {
			at := second + i*second/packets
			d.note(at, c.late(at))
		}
		if math.Abs(d.worst-c.want) > 1e-5 {
			t.Errorf("%s: %g, want %g", c.name, d.worst, c.want)
		}
	}
}

func TestSystemCounters(t *testing.T) {
	steal, total := parseCPU("cpu  10 20 30 40 50 60 70 80 5 5\ncpu0 1 2 3\n")
	if steal != 80 || total != 360 {
		t.Errorf("steal %d of %d", steal, total)
	}
	for _, text := range []string{"", "cpu 1 2", "intr 1 2 3 4 5 6 7 8", "cpu a b c d e f g h"} {
		if steal, total := parseCPU(text); steal != 0 || total != 0 {
			t.Errorf("%q: %d of %d", text, steal, total)
		}
	}
	if got := parseSoftnet("00000001 0000000a 00000000\n00000001 00000001 00000000\n\n"); got != 11 {
		t.Errorf("dropped %d", got)
	}
}

// Frames too large for the emulator, because nobody turned the offload off,
// are noticed.
func TestOversizeIsNoticed(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{}))
	b.setMTU(b.client, "c0", 9000)
	b.setMTU(b.middle, "mc0", 9000)
	client, err := openStation(b.client, "c0")
	if err != nil {
		t.Fatal(err)
	}
	defer client.socket.close()
	f := newFrame(MaxMTU + 1)
	if _, err := client.socket.transmit([]*frame{f}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the frame is counted", func() bool { return e.Health().Drops.Oversize == 1 })
	if bad, why := e.Health().Inconclusive(); !bad || !strings.Contains(why, "DisableTxChecksum") {
		t.Errorf("inconclusive %v, %q", bad, why)
	}
}
