package underlay

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

// modes are the versions without a hobble.
var modes = []Mode{ModeFast, ModePortable}

var loopback4 = netip.MustParseAddr("127.0.0.1")

func TestOpenErrors(t *testing.T) {
	for _, mode := range modes {
		taken, err := Open(Options{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		for _, test := range []struct {
			o    Options
			want error
			text string
		}{
			{Options{Listen: taken.LocalAddr()}, ErrInUse, "listen on " + taken.LocalAddr().String()},
			{Options{Listen: netip.MustParseAddrPort("192.0.2.77:0")}, ErrNoAddress, "192.0.2.77"},
			{Options{Remote: taken.LocalAddr(), Listen: netip.MustParseAddrPort("192.0.2.77:0")}, ErrNoAddress, "from 192.0.2.77"},
			{Options{Remote: taken.LocalAddr(), Device: "ml-nothing"}, ErrNoDevice, "ml-nothing"},
		} {
			test.o.Mode = mode
			if _, err := Open(test.o); !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s, %+v: %v, want %v", mode, test.o, err, test.want)
			}
		}
	}
	if _, err := Open(Options{Mode: "turbo"}); err == nil || !strings.Contains(err.Error(), `"turbo"`) {
		t.Errorf("unknown mode: %v", err)
	}
}

func TestCloseEndsRead(t *testing.T) {
	for _, mode := range modes {
		client, _ := openPair(t, netip.MustParseAddrPort("127.0.0.1:0"), loopback4, mode, nil)
		done := make(chan error, 1)
		go func() { done <- client.Read(new(Batch)) }()
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		if err := nstest.Receive(t, done, "the end of Read"); err != net.ErrClosed {
			t.Errorf("%s: Read: %v", mode, err)
		}
		if err := client.Write([]byte{1}, 1, core.Path{}); err != net.ErrClosed {
			t.Errorf("%s: Write: %v", mode, err)
		}
	}
}

// TestICMPErrorsMeanNothing sends to a port without a socket. The refusals
// that come back fail neither Read nor Write, and a server that comes later is
// reached.
func TestICMPErrorsMeanNothing(t *testing.T) {
	for _, mode := range modes {
		client, server := openPair(t, netip.MustParseAddrPort("127.0.0.1:0"), loopback4, mode, nil)
		addr := server.LocalAddr()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		lost := uint64(0)
		eventually(t, "a refusal", func() bool {
			if err := client.Write([]byte("lost"), 0, core.Path{}); err != nil {
				t.Errorf("%s: Write: %v", mode, err)
			}
			lost++
			return lost >= 10 && client.Counters().ICMPErrors > 0
		})
		server, err := Open(Options{Listen: addr, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		alarm(t, server)
		var b Batch
		if err := client.Write([]byte("hello"), 0, core.Path{}); err != nil {
			t.Fatal(err)
		}
		p := expectPast(t, server, &b, "lost", "hello") // lost ones that were late
		if err := server.Write([]byte("welcome"), 0, p); err != nil {
			t.Fatal(err)
		}
		expect(t, client, &b, []byte("welcome"), 0)
		if n := client.Counters(); n.ICMPErrors == 0 || n.WriteDatagrams != lost+1 {
			t.Errorf("%s: counters %+v", mode, n)
		}
	}
}

// expectPast reads one datagram of that text after any number of another's, and
// returns its path.
func expectPast(t *testing.T, c Conn, b *Batch, others, text string) core.Path {
	t.Helper()
	for {
		if err := c.Read(b); err != nil {
			t.Fatal(err)
		}
		for _, d := range b.Datagrams {
			switch string(d.Data) {
			case text:
				return d.Path
			case others:
			default:
				t.Fatalf("a datagram %q", d.Data)
			}
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(nstest.Patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestICMPErrorsOnRead has the refusal arrive while Read waits.
func TestICMPErrorsOnRead(t *testing.T) {
	for _, mode := range modes {
		client, server := openPair(t, netip.MustParseAddrPort("127.0.0.1:0"), loopback4, mode, nil)
		addr := server.LocalAddr()
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		if err := client.Write([]byte("lost"), 0, core.Path{}); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		var b Batch
		go func() { done <- client.Read(&b) }()
		// On a busy machine the loopback delivers later, and a socket that is
		// opened meanwhile would get what is lost.
		eventually(t, "the refusal", func() bool { return client.Counters().ICMPErrors == 1 })
		server, err := Open(Options{Listen: addr, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		if err := server.Write([]byte("late"), 0, core.Path{Remote: client.LocalAddr()}); err != nil {
			t.Fatal(err)
		}
		if err := nstest.Receive(t, done, "a datagram after the refusal"); err != nil || len(b.Datagrams) != 1 {
			t.Errorf("%s: Read: %v, %d datagrams", mode, err, len(b.Datagrams))
		}
		if n := client.Counters(); n.ICMPErrors != 1 {
			t.Errorf("%s: counters %+v", mode, n)
		}
	}
}

func TestServerWriteErrors(t *testing.T) {
	for _, mode := range modes {
		four, err := Open(Options{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		defer four.Close()
		for _, test := range []struct {
			p    core.Path
			want error
		}{
			{core.Path{}, unix.EDESTADDRREQ},
			{core.Path{Remote: netip.MustParseAddrPort("[::1]:9")}, errFamily},
			{core.Path{Remote: netip.MustParseAddrPort("127.0.0.1:9"), Local: netip.MustParseAddr("::1")}, errFamily},
		} {
			if err := four.Write(make([]byte, 25), 10, test.p); !errors.Is(err, test.want) {
				t.Errorf("%s: %+v: %v, want %v", mode, test.p, err, test.want)
			}
		}
		if n := four.Counters(); n.WriteFailed != 9 || n.WriteDatagrams != 0 {
			t.Errorf("%s: counters %+v", mode, n)
		}
	}
}

// TestLinkErrors checks what a Write says about a link whose MTU is too small
// or that is gone.
func TestLinkErrors(t *testing.T) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			home, far := nstest.New(t), nstest.New(t)
			nstest.Veth(t, home, "ml-home", far, "ml-far")
			home.Up(t, "ml-home", "192.0.2.1/24", "2001:db8::1/64")
			far.Up(t, "ml-far", "192.0.2.2/24", "2001:db8::2/64")
			home.MTU(t, "ml-home", 1400)
			for _, remote := range []string{"192.0.2.2:9", "[2001:db8::2]:9"} {
				var c Conn
				home.Do(t, func() (err error) {
					c, err = Open(Options{Remote: netip.MustParseAddrPort(remote), Device: "ml-home", Mode: mode})
					return err
				})
				defer c.Close()
				if err := c.Write(make([]byte, 1401), 0, core.Path{}); err != nil {
					t.Errorf("one too big: %v", err)
				}
				if err := c.Write(make([]byte, 3*1401), 1401, core.Path{}); err != nil {
					t.Errorf("a run too big: %v", err)
				}
				if err := c.Write(make([]byte, 1300), 0, core.Path{}); err != nil {
					t.Errorf("one that fits: %v", err)
				}
				if n := c.Counters(); n.WriteTooBig != 4 || n.WriteDatagrams != 1 {
					t.Errorf("counters %+v", n)
				}
				home.Down(t, "ml-home")
				if err := c.Write(make([]byte, 200), 100, core.Path{}); !errors.Is(err, unix.ENETUNREACH) && !errors.Is(err, unix.ENETDOWN) {
					t.Errorf("link down: %v", err)
				}
				if n := c.Counters(); n.WriteFailed != 2 {
					t.Errorf("link down: counters %+v", n)
				}
				home.Up(t, "ml-home")
				if strings.HasPrefix(remote, "192") {
					home.Up(t, "ml-home", "2001:db8::9/64") // its addresses went with it
				}
				if err := c.Write(make([]byte, 200), 100, core.Path{}); strings.HasPrefix(remote, "192") && err != nil {
					t.Errorf("link up again: %v", err)
				}
			}
		})
	}
}

// TestSenderErrors plays kernels that cannot be had here.
func TestSenderErrors(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []unix.Errno // of the first calls; then all succeed
		err     error
		want    Counters
	}{
		{"full queue", []unix.Errno{unix.EAGAIN}, nil, Counters{WriteNoBuffer: 64, WriteDatagrams: 36, WriteMessages: 1}},
		{"no memory", []unix.Errno{unix.ENOBUFS, unix.ENOMEM}, nil, Counters{WriteNoBuffer: 100}},
		{"interrupted", []unix.Errno{unix.EINTR}, nil, Counters{WriteDatagrams: 100, WriteMessages: 2}},
		{"refused before", []unix.Errno{unix.ECONNREFUSED}, nil, Counters{WriteDatagrams: 100, WriteMessages: 2, ICMPErrors: 1}},
		{"unreachable", []unix.Errno{unix.ENETUNREACH, unix.ENETUNREACH}, unix.ENETUNREACH, Counters{WriteFailed: 100}},
		{"refused, then filtered", []unix.Errno{unix.ECONNREFUSED, unix.EPERM}, unix.EPERM, Counters{WriteFailed: 100}},
		{"too big", []unix.Errno{unix.EMSGSIZE, unix.EMSGSIZE}, nil, Counters{WriteTooBig: 64, WriteDatagrams: 36, WriteMessages: 1}},
		{"EIO without a run", []unix.Errno{unix.EIO, unix.EIO}, unix.EIO, Counters{WriteFailed: 100}},
	} {
		client, _ := openPair(t, netip.MustParseAddrPort("127.0.0.1:0"), loopback4, ModeFast, nil)
		fast := client.(*fastConn)
		calls := 0
		fast.sender.transmit = func(fd uintptr, messages []unix.Mmsghdr) (int, unix.Errno) {
			calls++
			if calls <= len(test.answers) {
				return 0, test.answers[calls-1]
			}
			return len(messages), 0
		}
		if err := client.Write(make([]byte, 100*10), 10, core.Path{}); !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
		test.want.WriteBytes = test.want.WriteDatagrams * 10
		if got := client.Counters(); got != test.want {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
		}
	}
}

// TestRunsAreTriedAgain: one interface that takes no runs does not end them for all.
func TestRunsAreTriedAgain(t *testing.T) {
	client, _ := openPair(t, netip.MustParseAddrPort("127.0.0.1:0"), loopback4, ModeFast, nil)
	fast, now, refused := client.(*fastConn), time.Unix(1, 0), false
	fast.sender.now = func() time.Time { return now }
	fast.sender.transmit = func(_ uintptr, messages []unix.Mmsghdr) (int, unix.Errno) {
		if !refused && hasSegment(&messages[0]) {
			refused = true
			return 0, unix.EIO
		}
		return len(messages), 0
	}
	for _, step := range []struct {
		at       time.Duration
		messages uint64 // of this Write
		gso      bool
	}{{0, 10, false}, {retryRuns - 1, 10, false}, {retryRuns, 1, true}, {retryRuns + 1, 1, true}} {
		now = time.Unix(1, 0).Add(step.at)
		before := client.Counters().WriteMessages
		if err := client.Write(make([]byte, 10*10), 10, core.Path{}); err != nil {
			t.Fatal(err)
		}
		if n := client.Counters().WriteMessages - before; n != step.messages || client.Info().GSO != step.gso {
			t.Errorf("after %v: %d messages, %+v", step.at, n, client.Info())
		}
	}
}

func TestOptionsReachTheKernel(t *testing.T) {
	ns := nstest.New(t)
	for _, mode := range modes {
		for _, remote := range []string{"127.0.0.1:9", "[::1]:9"} {
			var c Conn
			ns.Do(t, func() (err error) {
				c, err = Open(Options{Remote: netip.MustParseAddrPort(remote), Device: "lo", Mark: 0x89abcdef, Mode: mode})
				return err
			})
			defer c.Close()
			var raw *socket
			switch c := c.(type) {
			case *fastConn:
				raw = c.socket
			case *portableConn:
				raw = c.socket
			}
			if err := raw.raw.Control(func(fd uintptr) {
				if mark, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK); uint32(mark) != 0x89abcdef {
					t.Errorf("mark %#x, %v", mark, err)
				}
				if device, err := unix.GetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE); device != "lo" {
					t.Errorf("device %q, %v", device, err)
				}
				if probe, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER); probe != unix.IP_PMTUDISC_PROBE {
					t.Errorf("MTU discovery %d, %v", probe, err)
				}
			}); err != nil {
				t.Error(err)
			}
			if info := c.Info(); info.ReceiveBuffer < bufferBytes || info.SendBuffer < bufferBytes {
				t.Errorf("buffers %+v", info)
			}
		}
	}
}

func TestFastAllocatesNothing(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::]:0"} {
		client, server := openPair(t, netip.MustParseAddrPort(listen), loopback4, ModeFast, nil)
		data := make([]byte, 20*1000+1)
		var b Batch
		round := func() {
			if err := client.Write(data, 1000, core.Path{}); err != nil {
				t.Fatal(err)
			}
			p := expect(t, server, &b, data, 1000)
			if err := server.Write(data, 1000, p); err != nil {
				t.Fatal(err)
			}
			expect(t, client, &b, data, 1000)
		}
		round()
		if n := testing.AllocsPerRun(50, round); n != 0 {
			t.Errorf("%s: %v allocations per round of two runs", listen, n)
		}
	}
}
