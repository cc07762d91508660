package call

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// newCall makes a call in both directions.
func newCall(t testing.TB, codec string) (client, host *Party) {
	t.Helper()
	client, host, err := New(codec, "both", 7)
	if err != nil {
		t.Fatal(err)
	}
	return client, host
}

func TestPackets(t *testing.T) {
	for codec, want := range map[string]struct {
		payloadType       uint8
		step              uint32
		smallest, largest int
	}{"pcmu": {0, 160, 160, 160}, "opus": {111, 960, 60, 120}} {
		client, _ := newCall(t, codec)
		var first rtp.Packet
		sizes := map[int]bool{}
		for n := range 70000 { // sequence numbers wrap
			var p rtp.Packet
			if err := p.Unmarshal(client.Out.Next(time.Duration(n) * Frame)); err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				first = p
			}
			sizes[len(p.Payload)] = true
			if p.Version != 2 || p.PayloadType != want.payloadType || p.SSRC != first.SSRC || p.Marker != (n == 0) ||
				p.SequenceNumber != first.SequenceNumber+uint16(n) || p.Timestamp != first.Timestamp+uint32(n)*want.step {
				t.Fatalf("%s: packet %d is %+v, the first was %+v", codec, n, p.Header, first.Header)
			}
			if len(p.Payload) < want.smallest || len(p.Payload) > want.largest {
				t.Fatalf("%s: %d bytes", codec, len(p.Payload))
			}
		}
		if len(sizes) != want.largest-want.smallest+1 {
			t.Errorf("%s: %d sizes", codec, len(sizes))
		}
	}
}

func TestTwoCallsDiffer(t *testing.T) {
	one, _, _ := New("pcmu", "both", 1)
	two, _, _ := New("pcmu", "both", 2)
	if one.Out.ssrc == two.Out.ssrc || one.Out.ssrc == one.In.ssrc || string(one.Out.Next(0)[12:]) == string(two.Out.Next(0)[12:]) {
		t.Error("two streams are alike")
	}
	if _, _, err := New("gsm", "down", 1); err == nil || !strings.Contains(err.Error(), `codec "gsm"`) {
		t.Errorf("error %v", err)
	}
	if _, _, err := New("gsm", "up", 1); err == nil {
		t.Error("no error")
	}
}

// hearing sends n packets of which each arrives after the delay that the
// function tells, never if it is below 0.
func hearing(s *Stream, n int, delay func(int) time.Duration) {
	type arrival struct {
		at     time.Duration
		packet []byte
	}
	var waiting []arrival
	for i := range n {
		now := time.Duration(i) * Frame
		if p := s.Next(now); delay(i) >= 0 {
			waiting = append(waiting, arrival{now + delay(i), p})
		}
	}
	for _, a := range waiting {
		s.Arrive(a.at, a.packet)
	}
}

func value(t *testing.T, out meter.Outcome, name string) float64 {
	t.Helper()
	switch v := out.Values[name].(type) {
	case float64:
		return v
	case int:
		return float64(v)
	}
	t.Fatalf("%s is %v", name, out.Values[name])
	return 0
}

func TestOutcome(t *testing.T) {
	client, host := newCall(t, "pcmu")
	hearing(client.In, 1000, func(n int) time.Duration {
		switch {
		case n%100 == 50:
			return -1
		case n%100 == 70:
			return 100 * ms // 80 ms behind the others: too late
		}
		return 20 * ms
	})
	hearing(host.In, 1000, func(int) time.Duration { return 30 * ms })
	out := Outcome(client, host, 1000*Frame)
	if len(out.Faults) > 0 {
		t.Errorf("faults: %v", out.Faults)
	}
	down := meter.Outcome{Values: out.Values["down"].(map[string]any)}
	up := meter.Outcome{Values: out.Values["up"].(map[string]any)}
	for _, c := range []struct {
		out  meter.Outcome
		name string
		want float64
	}{
		{down, "sent", 1000}, {down, "loss", 0.01}, {down, "late", 0.01}, {down, "duplicates", 0}, {down, "reordered", 0},
		{down, "mos", mos(codecs["pcmu"].rating(100*ms, 0.02, 1))}, {down, "stall", 0.1},
		{up, "loss", 0}, {up, "late", 0}, {up, "jitter", 0}, {up, "stall", 0.03}, {up, "mos", mos(codecs["pcmu"].rating(110*ms, 0, 1))},
	} {
		if got := value(t, c.out, c.name); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", c.name, got, c.want)
		}
	}
	if trace := out.Series["up.delay"]; len(trace.V) != 1000 || trace.V[500] != 0.03 || trace.T[500] != 10 {
		t.Errorf("a trace of %d delays", len(trace.V))
	}
}

func TestSilence(t *testing.T) {
	client, host, err := New("opus", "up", 1)
	if err != nil {
		t.Fatal(err)
	}
	hearing(host.In, 50, func(int) time.Duration { return -1 })
	out := Outcome(client, host, time.Second)
	if value(t, out, "mos") != 1 || value(t, out, "loss") != 1 || value(t, out, "stall") != 1 {
		t.Errorf("%v", out.Values)
	}
}

// TestJitter compares with the sum that RFC 3550 has, worked by hand: delays
// that go up and down by 8 ms have an estimate that approaches 8 ms.
func TestJitter(t *testing.T) {
	client, host, _ := New("pcmu", "down", 1)
	hearing(client.In, 3, func(n int) time.Duration { return time.Duration(20+8*(n%2)) * ms })
	// J1 = 8/16 = 0.5 ms, J2 = 0.5 + (8-0.5)/16 = 0.96875 ms
	if got := value(t, Outcome(client, host, time.Second), "jitter"); math.Abs(got-(0.5e-3+0.96875e-3)/2) > 1e-9 {
		t.Errorf("jitter %g s", got)
	}
}

func TestArrivals(t *testing.T) {
	client, host, _ := New("pcmu", "down", 1)
	s := client.In
	var packets [][]byte
	for n := range 4 {
		packets = append(packets, s.Next(time.Duration(n)*Frame))
	}
	for _, n := range []int{0, 2, 1, 2, 2, 3} {
		s.Arrive(100*ms, packets[n])
	}
	out := Outcome(client, host, time.Second)
	if value(t, out, "duplicates") != 2 || value(t, out, "reordered") != 0.25 || value(t, out, "loss") != 0 || len(out.Faults) > 0 {
		t.Errorf("%v %v", out.Values, out.Faults)
	}
}

func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"short":    {func(p []byte) []byte { return p[:5] }, "no RTP"},
		"content":  {func(p []byte) []byte { p[50]++; return p }, "changed on its way"},
		"cut":      {func(p []byte) []byte { return p[:len(p)-1] }, "changed on its way"},
		"source":   {func(p []byte) []byte { p[9]++; return p }, "of source"},
		"type":     {func(p []byte) []byte { p[1] = 8; return p }, "and type 8"},
		"sequence": {func(p []byte) []byte { p[2]++; return p }, "was not sent"},
		"stamp":    {func(p []byte) []byte { p[5]++; return p }, "changed on its way"},
	} {
		s, err := newStream("pcmu", 1)
		if err != nil {
			t.Fatal(err)
		}
		s.Arrive(0, c.change(s.Next(0)))
		if out := s.outcome(time.Second); len(out.Faults) != 1 || !strings.Contains(out.Faults[0], c.want) {
			t.Errorf("%s: faults %q, want %q", name, out.Faults, c.want)
		}
	}
}

func TestBound(t *testing.T) {
	s, _ := newStream("pcmu", 1)
	s.sentAt = make([]time.Duration, MaxPackets)
	if s.Next(0) != nil {
		t.Error("a packet beyond the bound")
	}
}

func TestReports(t *testing.T) {
	client, host := newCall(t, "pcmu")
	hearing(client.In, 100, func(n int) time.Duration { return time.Duration(20-21*(n/90)) * ms }) // the last ten are lost
	hearing(host.In, 100, func(n int) time.Duration { return time.Duration(20-21*(n%2)) * ms })    // every second
	wall := time.Date(2030, 1, 2, 3, 4, 5, 500e6, time.UTC)
	now := 99*Frame + 10*ms
	host.Heard(now, client.Report(now, wall))
	report := host.Report(now+250*ms, wall)
	client.Heard(now+500*ms, report)
	all, err := rtcp.Unmarshal(report)
	if err != nil {
		t.Fatal(err)
	}
	sender, ok := all[0].(*rtcp.SenderReport)
	if !ok || len(sender.Reports) != 1 {
		t.Fatalf("%v", all)
	}
	if sender.SSRC != host.Out.ssrc || sender.PacketCount != 100 || sender.OctetCount != 16000 ||
		sender.NTPTime>>32 != uint64(wall.Unix())+2208988800 || uint32(sender.NTPTime) != 1<<31 ||
		sender.RTPTime != host.Out.stampOf(99)+8*260 {
		t.Errorf("%+v", sender)
	}
	heard := sender.Reports[0]
	if heard.SSRC != client.Out.ssrc || heard.TotalLost != 49 || heard.FractionLost != 256*49/99 ||
		uint16(heard.LastSequenceNumber) != client.Out.sequence+98 || heard.Delay != 65536/4 {
		t.Errorf("%+v", heard)
	}
	if chunk := all[1].(*rtcp.SourceDescription).Chunks[0]; chunk.Items[0].Text != "host@testbed" {
		t.Errorf("%+v", chunk)
	}
	out := Outcome(client, host, now)
	for _, direction := range []string{"down", "up"} {
		if n := out.Values[direction].(map[string]any)["reports"]; n != 1 {
			t.Errorf("%s: %v reports came", direction, n)
		}
	}
}

func TestReportsOfAListener(t *testing.T) {
	client, host, _ := New("pcmu", "down", 1)
	all, err := rtcp.Unmarshal(client.Report(0, time.Unix(0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if r, ok := all[0].(*rtcp.ReceiverReport); !ok || len(r.Reports) != 0 || r.SSRC == host.Out.ssrc {
		t.Errorf("%v", all[0])
	}
	host.Heard(0, client.Report(0, time.Unix(0, 0)))
	host.Heard(0, []byte{1, 2, 3})
	if out := Outcome(client, host, 0); len(out.Faults) != 1 || !strings.Contains(out.Faults[0], "no RTCP") {
		t.Errorf("%v", out.Faults)
	}
}
