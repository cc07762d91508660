package emu

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
)

func TestDelayBothFamilies(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{Delay: 20 * time.Millisecond}))
	for _, family := range []int{4, 6} {
		to := serverAddress(0, family)
		b.echo(to)
		conn := b.udp(b.client, anyPort(to))
		pings(t, conn, to) // finds the neighbour
		if rtt := pings(t, conn, to); rtt < 40*time.Millisecond {
			t.Errorf("IPv%d: round trip %v, less than the two delays of 20 ms", family, rtt)
		}
	}
}

func TestTCPBothFamilies(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{Spin: true})
	b.attach(e, spec(0, link.Config{Rate: 100e6, Delay: time.Millisecond, Loss: link.Loss{Good: 0.001},
		Queue: link.Queue{Time: 100 * time.Millisecond}}))
	b.transfer(0, 4, 4<<20)
	b.transfer(0, 6, 4<<20)
	s, err := e.Stats(name(0), Up)
	if err != nil {
		t.Fatal(err)
	}
	if s.BytesOut < 8<<20 {
		t.Errorf("%d bytes went up, more than %d were sent", s.BytesOut, 8<<20)
	}
	if h := e.Health(); h.Drops.Oversize > 0 || h.Drops.Send > 0 || h.Departures < int64(s.PacketsOut) {
		t.Errorf("health %+v", h)
	}
}

func TestBlackholeAndRestore(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{}))
	to := serverAddress(0, 4)
	b.echo(to)
	conn := b.udp(b.client, anyPort(to))
	pings(t, conn, to)
	for _, dir := range []Direction{Up, Down} {
		if err := e.Blackhole(name(0), dir, true); err != nil {
			t.Fatal(err)
		}
		if !silent(t, conn, to) {
			t.Errorf("an answer came through a blackhole %s", dir)
		}
		eventually(t, "the blackhole "+dir.String()+" counts", func() bool {
			s, _ := e.Stats(name(0), dir)
			return s.DropBlackhole > 0
		})
		if err := e.Blackhole(name(0), dir, false); err != nil {
			t.Fatal(err)
		}
		pings(t, conn, to)
	}
}

func TestSetLive(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{}))
	to := serverAddress(0, 4)
	b.echo(to)
	conn := b.udp(b.client, anyPort(to))
	pings(t, conn, to)
	if err := e.Set(name(0), Down, link.Config{Delay: 150 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if rtt := pings(t, conn, to); rtt < 150*time.Millisecond {
		t.Errorf("round trip %v after the delay became 150 ms", rtt)
	}
	if err := e.Set(name(0), Down, link.Config{MTU: 100}); err != nil {
		t.Fatal(err)
	}
	pings(t, conn, to)
	large := make([]byte, 73) // 101 bytes with its headers
	conn.WriteToUDPAddrPort(large, to)
	eventually(t, "the large packet is dropped", func() bool {
		s, _ := e.Stats(name(0), Down)
		return s.DropMTU == 1
	})
}

func TestDetachAndAttach(t *testing.T) {
	b := newBench(t, 2)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{Delay: time.Millisecond}))
	b.attach(e, spec(1, link.Config{}))
	to, other := serverAddress(0, 4), serverAddress(1, 4)
	b.echo(other)
	conn := b.udp(b.client, anyPort(to))
	for round := range 3 {
		echo := b.udp(b.server, netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(7100+round)))
		go func() {
			buffer := make([]byte, 2048)
			for {
				n, from, err := echo.ReadFromUDPAddrPort(buffer)
				if err != nil {
					return
				}
				echo.WriteToUDPAddrPort(buffer[:n], from)
			}
		}()
		at := netip.AddrPortFrom(to.Addr(), uint16(7100+round))
		pings(t, conn, at)
		before, _ := e.Stats(name(0), Up)
		// Unplugged with the emulator told first, then afterwards.
		if round == 0 {
			if err := e.Detach(name(0)); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.unplug(0); err != nil {
			t.Fatal(err)
		}
		pings(t, conn, other)
		if round > 0 {
			if err := e.Detach(name(0)); err != nil {
				t.Fatal(err)
			}
		}
		b.plug(0)
		b.attach(e, spec(0, link.Config{Delay: time.Millisecond}))
		pings(t, conn, at)
		if after, _ := e.Stats(name(0), Up); after.PacketsOut <= before.PacketsOut {
			t.Errorf("the counters did not go on: %d, then %d packets", before.PacketsOut, after.PacketsOut)
		}
		echo.Close()
	}
	if bad, why := e.Health().Inconclusive(); bad && e.Health().Drops.Total() > 0 {
		t.Errorf("unplugging made the run inconclusive: %s", why)
	}
}

// A link whose far interface is down loses its frames, which is no fault of the
// emulator.
func TestCarrierDown(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{}))
	to := serverAddress(0, 4)
	b.echo(to)
	conn := b.udp(b.client, anyPort(to))
	pings(t, conn, to)
	b.setUp(b.server, "s0", false)
	conn.WriteToUDPAddrPort([]byte("lost"), to)
	eventually(t, "the frame is lost", func() bool {
		s, _ := e.Stats(name(0), Up)
		return s.DropFlush > 0
	})
	if d := e.Health().Drops; d.Send > 0 || d.Device > 0 {
		t.Errorf("hidden drops %+v", d)
	}
	b.setUp(b.server, "s0", true)
	pings(t, conn, to)
}

func TestSharedBottleneck(t *testing.T) {
	b := newBench(t, 2)
	e := b.emulator(Options{})
	if err := e.Bottleneck("street", link.Config{Delay: 30 * time.Millisecond}, link.Config{Delay: 20 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		s := spec(i, link.Config{Delay: 5 * time.Millisecond})
		s.UpShared, s.DownShared = []string{"street"}, []string{"street"}
		b.attach(e, s)
	}
	conn := b.udp(b.client, anyPort(serverAddress(0, 4)))
	for i := range 2 {
		to := serverAddress(i, 4)
		b.echo(to)
		if rtt := pings(t, conn, to); rtt < 60*time.Millisecond {
			t.Errorf("link %d: round trip %v, the delays sum up to 60 ms", i, rtt)
		}
	}
	for _, dir := range []Direction{Up, Down} {
		shared, err := e.Stats("street", dir)
		if err != nil {
			t.Fatal(err)
		}
		if shared.PacketsOut < 2 {
			t.Errorf("%d packets passed the bottleneck %s", shared.PacketsOut, dir)
		}
	}
	unknown := spec(9, link.Config{})
	unknown.UpShared = []string{"road"}
	if err := e.Attach(unknown); !errors.Is(err, ErrUnknown) {
		t.Errorf("attach behind an unknown bottleneck: %v", err)
	}
}

func TestDuplicateAndCorrupt(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	to := serverAddress(0, 4)
	conn := b.udp(b.client, anyPort(to))
	b.attach(e, spec(0, link.Config{}))
	b.echo(to)
	pings(t, conn, to)
	if err := e.Set(name(0), Up, link.Config{Duplicate: 1}); err != nil {
		t.Fatal(err)
	}
	conn.WriteToUDPAddrPort([]byte("twice"), to)
	buffer := make([]byte, 100)
	for copies := 0; copies < 2; {
		conn.SetReadDeadline(time.Now().Add(patience))
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if string(buffer[:n]) == "twice" {
			copies++
		}
	}
	// A flipped bit makes the kernel drop the packet, wherever the bit is.
	if err := e.Set(name(0), Up, link.Config{Corrupt: 1}); err != nil {
		t.Fatal(err)
	}
	if !silent(t, conn, to) {
		t.Error("a corrupted packet was answered")
	}
}

func TestPcapSink(t *testing.T) {
	b := newBench(t, 1)
	var mu sync.Mutex
	seen := map[string]int{}
	var bad atomic.Bool
	e := b.emulator(Options{PcapSink: func(c Captured) {
		mu.Lock()
		defer mu.Unlock()
		seen[fmt.Sprintf("%s %s %v", c.Link, c.Dir, c.Left)]++
		if len(c.Frame) < etherHeader || time.Since(c.At).Abs() > patience {
			bad.Store(true)
		}
	}})
	b.attach(e, spec(0, link.Config{}))
	to := serverAddress(0, 4)
	b.echo(to)
	pings(t, b.udp(b.client, anyPort(to)), to)
	for _, key := range []string{"link0 up false", "link0 up true", "link0 down false", "link0 down true"} {
		// What leaves is captured after it was sent: the answer may be here first.
		eventually(t, "captured: "+key, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return seen[key] > 0
		})
	}
	if bad.Load() {
		t.Error("a capture without frame or of another time")
	}
}

func TestErrors(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{}))
	missing := spec(5, link.Config{})
	large := spec(6, link.Config{MTU: 9000})
	for _, c := range []struct {
		what string
		err  error
		want error
	}{
		{"attach twice", e.Attach(spec(0, link.Config{})), ErrAttached},
		{"detach unknown", e.Detach("x"), ErrUnknown},
		{"set unknown", e.Set("x", Up, link.Config{}), ErrUnknown},
		{"blackhole unknown", e.Blackhole("x", Up, true), ErrUnknown},
		{"missing interface", e.Attach(missing), nil},
		{"large MTU", e.Attach(large), nil},
	} {
		if c.err == nil || (c.want != nil && !errors.Is(c.err, c.want)) {
			t.Errorf("%s: error %v, want %v", c.what, c.err, c.want)
		}
	}
	if _, err := e.Stats("x", Up); !errors.Is(err, ErrUnknown) {
		t.Errorf("statistics of an unknown link: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Attach(spec(0, link.Config{})); !errors.Is(err, ErrClosed) {
		t.Errorf("attach after close: %v", err)
	}
	if _, err := e.Stats(name(0), Up); err != nil {
		t.Errorf("statistics after close: %v", err)
	}
	e.Health()
}

// Datagrams that the sender's kernel would leave to a network card to cut and
// to complete come out right.
func TestSegmentationOffload(t *testing.T) {
	b := newBench(t, 1)
	e := b.emulator(Options{})
	b.attach(e, spec(0, link.Config{}))
	to := serverAddress(0, 4)
	b.echo(to)
	conn := b.udp(b.client, anyPort(to))
	pings(t, conn, to)
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, 1000) })
	if err != nil {
		t.Skipf("this kernel has no UDP_SEGMENT: %v", err)
	}
	if _, err := conn.WriteToUDPAddrPort(make([]byte, 2500), to); errors.Is(err, unix.EIO) {
		t.Skip("this kernel has no UDP_SEGMENT without checksum offload")
	} else if err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 9000)
	for _, want := range []int{1000, 1000, 500} {
		conn.SetReadDeadline(time.Now().Add(patience))
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil || n != want {
			t.Fatalf("datagram of %d bytes (error %v), want %d", n, err, want)
		}
	}
	if d := e.Health().Drops; d.Oversize > 0 {
		t.Errorf("hidden drops %+v", d)
	}
}
