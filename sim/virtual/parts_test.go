package virtual

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/multilink-vpn/multilink/core/session"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

func TestCheckerFindsDifferences(t *testing.T) {
	c := newContent(1)
	stream := append([]byte("head"), c.block...)
	stream = append(stream, c.block[:1000]...)
	for _, cut := range []int{1, 3, 4, 5, 1000, blockSize + 4} {
		k := &checker{head: []byte("head"), content: c}
		_, _ = k.Write(stream[:cut])
		_, _ = k.Write(stream[cut:])
		if k.err != nil || k.offset != int64(len(stream)) {
			t.Errorf("cut at %d: %v at %d", cut, k.err, k.offset)
		}
	}
	for _, wrong := range []int{0, 4, 5000, len(stream) - 1} {
		changed := append([]byte(nil), stream...)
		changed[wrong] ^= 1
		k := &checker{head: []byte("head"), content: c}
		if _, _ = k.Write(changed); k.err == nil {
			t.Errorf("a change at %d goes unnoticed", wrong)
		}
	}
}

func FuzzPacketsFromLinks(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x45})
	f.Add([]byte{0x60, 0, 0, 0})
	four := make([]byte, 60)
	four[0], four[3], four[9], four[32] = 0x45, 60, byte(header.TCPProtocolNumber), 0xa0
	f.Add(four)
	six := make([]byte, 80)
	six[0], six[5], six[6], six[52] = 0x60, 40, byte(header.TCPProtocolNumber), 0xf0
	f.Add(six)
	f.Fuzz(func(t *testing.T, packet []byte) {
		_, _ = destination(packet)
		w := &tap{}
		w.see(packet)
	})
}

// pair is a simulation with two links.
func pair(t *testing.T) *Simulation {
	t.Helper()
	side := Strategy{
		Send:    session.Strategy{Scheduler: "wrr", RateControl: true, Retransmit: true, Equalize: "off", Classifier: "rtp"},
		Reorder: "global",
	}
	im := scenario.Impairment{Rate: 10e6, Delay: 10 * time.Millisecond, Queue: scenario.Queue{Time: 100 * time.Millisecond}}
	s, err := New(Config{Seed: 1, Client: side, Server: side, Links: []scenario.Link{
		{Name: "a", Up: im, Down: im, Present: true}, {Name: "b", Up: im, Down: im},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestLinkComesUpInTwoRoundTrips(t *testing.T) {
	s := pair(t)
	ctx := context.Background()
	has := func(snap session.Snapshot, n int) func() bool { return func() bool { return len(snap.Links) == n } }
	joined := func() bool { return has(s.Client(), 1)() }
	if ok, err := s.Until(ctx, joined, time.Second); !ok || err != nil {
		t.Fatalf("the link does not come: %v", err)
	}
	if now := s.Now(); now < 40*time.Millisecond || now > 42*time.Millisecond {
		t.Errorf("the client has its link after %s, two round trips are 40 ms", now)
	}
	if ok, err := s.Start(ctx, time.Second); !ok || err != nil {
		t.Fatalf("the link does not come up: %v", err)
	}
	if s.Now() != 0 {
		t.Errorf("the run begins at %s", s.Now())
	}
	if err := s.Do(scenario.Action{Do: "plug", Link: "b"}); err != nil {
		t.Fatal(err)
	}
	if err := s.RunUntil(ctx, 35*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if c, v := len(s.Client().Links), len(s.Server().Links); c != 1 || v != 2 {
		t.Errorf("one and three quarters round trips after the plug: %d links at the client, %d at the server", c, v)
	}
	if err := s.RunUntil(ctx, 500*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := s.Do(scenario.Action{Do: "unplug", Link: "a"}); err != nil {
		t.Fatal(err)
	}
	if c, v := len(s.Client().Links), len(s.Server().Links); c != 1 || v != 2 {
		t.Errorf("at the unplug: %d links at the client, %d at the server", c, v)
	}
	if err := s.RunUntil(ctx, 521*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if v := len(s.Server().Links); v != 1 {
		t.Errorf("a round trip after the unplug: %d links at the server", v)
	}
}

func TestBlackholeKeepsALinkFromConnecting(t *testing.T) {
	s := pair(t)
	ctx := context.Background()
	for _, a := range []scenario.Action{{Do: "blackhole", Link: "b"}, {Do: "plug", Link: "b"}} {
		if err := s.Do(a); err != nil {
			t.Fatal(err)
		}
	}
	s.after(1500*time.Millisecond, func() { _ = s.Do(scenario.Action{Do: "restore", Link: "b"}) })
	two := func() bool { return len(s.Client().Links) == 2 }
	if ok, err := s.Until(ctx, two, 5*time.Second); !ok || err != nil {
		t.Fatalf("the link does not come after the black hole: %v", err)
	}
	if s.Now() < 1500*time.Millisecond {
		t.Errorf("a link connected through a black hole, at %s", s.Now())
	}
}

func TestUnknownActions(t *testing.T) {
	s := pair(t)
	if err := s.Do(scenario.Action{Do: "plug", Link: "z"}); err == nil {
		t.Error("an unknown link is no error")
	}
	if err := s.Do(scenario.Action{Do: "dance", Link: "a"}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("an unknown action: %v", err)
	}
}

func TestStandstillIsNoticed(t *testing.T) {
	s := pair(t)
	var again func()
	again = func() { s.after(0, again) }
	again()
	if err := s.RunUntil(context.Background(), time.Second); !errors.Is(err, ErrStuck) {
		t.Errorf("%v", err)
	}
}

func TestStepsDoNotMatter(t *testing.T) {
	sum := func(step time.Duration) uint64 {
		s := pair(t)
		ctx := context.Background()
		if _, err := s.Start(ctx, time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddTraffic(scenario.Traffic{Name: "dl", Kind: "tcp", To: 1, IP: 4}, 0, 3*time.Second); err != nil {
			t.Fatal(err)
		}
		for now := time.Duration(0); now < 3*time.Second; now += step {
			if err := s.RunUntil(ctx, now); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.RunUntil(ctx, 3*time.Second); err != nil {
			t.Fatal(err)
		}
		return s.Sum()
	}
	if a, b := sum(3*time.Second), sum(777*time.Microsecond); a != b {
		t.Errorf("in one step %x, in many %x", a, b)
	}
}

func BenchmarkDownload(b *testing.B) {
	const text = `
name: bench
links:
  - {name: a, both: {rate: 30mbit, delay: 10ms}}
  - {name: b, both: {rate: 25mbit, delay: 20ms}}
client: {scheduler: minrtt, reorder: global}
traffic:
  - {name: dl, kind: tcp, duration: 20s}
  - {name: ping, kind: ping, duration: 20s}
`
	for b.Loop() {
		began := time.Now()
		r := runText(b, text)
		b.ReportMetric(r.Emulator.(Health).Simulated/time.Since(began).Seconds(), "x-real-time")
		b.ReportMetric(at(r.Measurements, "dl.goodput").(float64)/1e6, "Mbit/s")
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	runText(t, everything)
}
