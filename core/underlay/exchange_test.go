package underlay

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

// variants are the sockets that the tests below run with.
var variants = []struct {
	name string
	mode Mode
	// hobble changes the client's and the server's socket after Open.
	hobble func(Conn)
}{
	{"fast", ModeFast, nil},
	{"fast without GSO", ModeFast, failGSO(unix.EIO)},
	{"fast on a kernel that says EINVAL", ModeFast, failGSO(unix.EINVAL)},
	{"portable", ModePortable, nil},
}

// failGSO makes the kernel of a socket refuse to send runs.
func failGSO(errno unix.Errno) func(Conn) {
	return func(c Conn) {
		c.(*fastConn).sender.transmit = func(fd uintptr, messages []unix.Mmsghdr) (int, unix.Errno) {
			for i := range messages {
				if hasSegment(&messages[i]) {
					if i > 0 {
						return sendmmsg(fd, messages[:i])
					}
					return 0, errno
				}
			}
			return sendmmsg(fd, messages)
		}
	}
}

// hasSegment says whether a message asks for a run.
func hasSegment(m *unix.Mmsghdr) bool {
	n := int(m.Hdr.Controllen)
	if n == 0 {
		return false
	}
	oob := unsafe.Slice(m.Hdr.Control, n)
	for len(oob) > 0 {
		h, _, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return false
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_SEGMENT {
			return true
		}
		oob = rest
	}
	return false
}

// transfers are what exchange sends, in the client's Write calls.
var transfers = []struct{ bytes, segment int }{
	{1, 0},
	{1, 1},
	{1000, 0},
	{1000, 5000},
	{2000, 1000},        // two full ones
	{2001, 1000},        // a short tail
	{64 * 100, 100},     // UDP_MAX_SEGMENTS of older kernels
	{65 * 100, 100},     // one more
	{200*100 + 7, 100},  // several messages
	{46*1400 + 3, 1400}, // as many bytes as one message takes
	{47 * 1400, 1400},   // and more
	{64999, 1441},
	{20, 3},
}

// alarm closes sockets unless the test ends in time: nothing is lost here, and if
// something is, the reader says so and does not wait for ever.
func alarm(t *testing.T, conns ...Conn) {
	timer := time.AfterFunc(nstest.Patience, func() {
		for _, c := range conns {
			_ = c.Close()
		}
	})
	t.Cleanup(func() { timer.Stop() })
}

// openPair opens a client and a server and has the test close them.
func openPair(t *testing.T, listen netip.AddrPort, target netip.Addr, mode Mode, hobble func(Conn)) (client, server Conn) {
	t.Helper()
	server, err := Open(Options{Listen: listen, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	client, err = Open(Options{Remote: netip.AddrPortFrom(target, server.LocalAddr().Port()), Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if hobble != nil {
		hobble(client)
		hobble(server)
	}
	alarm(t, client, server)
	return client, server
}

// exchange sends every transfer from the client to the server and back, and
// compares datagram by datagram. target is the address that the client sends
// to.
func exchange(t *testing.T, client, server Conn, target netip.Addr) {
	t.Helper()
	var b Batch
	for _, x := range transfers {
		data := make([]byte, x.bytes)
		for i := range data {
			data[i] = byte(i ^ i>>8 ^ x.segment)
		}
		if err := client.Write(data, x.segment, core.Path{}); err != nil {
			t.Fatalf("%+v: %v", x, err)
		}
		p := expect(t, server, &b, data, x.segment)
		if p.Local != target.WithZone("") || p.Remote.Port() != client.LocalAddr().Port() || p.Remote.Addr().Is4In6() {
			t.Fatalf("%+v: the server sees path %+v, the client sent from %s to %s", x, p, client.LocalAddr(), target)
		}
		if err := server.Write(data, x.segment, p); err != nil {
			t.Fatalf("%+v: reply: %v", x, err)
		}
		p = expect(t, client, &b, data, x.segment)
		if p.Local.IsValid() || p.Remote != netip.AddrPortFrom(target, server.LocalAddr().Port()) {
			t.Fatalf("%+v: the client sees path %+v", x, p)
		}
	}
}

// expect reads the datagrams that data was sent as and returns their path.
func expect(t *testing.T, c Conn, b *Batch, data []byte, segment int) core.Path {
	t.Helper()
	segment = segmentOf(data, segment)
	var path core.Path
	for at := 0; at < len(data); {
		if err := c.Read(b); err != nil {
			t.Fatalf("after %d bytes of %d: %v; %+v", at, len(data), err, c.Counters())
		}
		for _, d := range b.Datagrams {
			want := data[at:min(at+segment, len(data))]
			if !bytes.Equal(d.Data, want) {
				t.Fatalf("byte %d: a datagram of %d bytes, want %d", at, len(d.Data), len(want))
			}
			at += len(want)
			path = d.Path
		}
	}
	return path
}

func TestExchangeOverLoopback(t *testing.T) {
	for _, v := range variants {
		for _, test := range []struct{ listen, target string }{
			{"127.0.0.1:0", "127.0.0.1"},
			{"0.0.0.0:0", "127.0.0.2"},
			{"[::]:0", "127.0.0.3"}, // IPv4 on a socket for both
			{"[::]:0", "::1"},
			{"[::1]:0", "::1"},
		} {
			t.Run(fmt.Sprintf("%s/%s to %s", v.name, test.listen, test.target), func(t *testing.T) {
				target := netip.MustParseAddr(test.target)
				client, server := openPair(t, netip.MustParseAddrPort(test.listen), target, v.mode, v.hobble)
				exchange(t, client, server, target)
				checkFinal(t, v.name, client, server)
			})
		}
	}
}

// checkFinal checks what sockets say of themselves after an exchange.
func checkFinal(t *testing.T, variant string, conns ...Conn) {
	t.Helper()
	for _, c := range conns {
		info, n := c.Info(), c.Counters()
		wantGSO := variant == "fast" || variant == "fast on a kernel that says EINVAL"
		if info.GSO != wantGSO || (info.Reason == "") != wantGSO {
			t.Errorf("info %+v", info)
		}
		if info.ReceiveBuffer == 0 || info.SendBuffer == 0 {
			t.Errorf("no buffers: %+v", info)
		}
		if n.WriteDatagrams != n.ReadDatagrams || n.WriteBytes != n.ReadBytes || n.WriteTooBig+n.WriteNoBuffer+n.WriteFailed+n.ReadTruncated != 0 {
			t.Errorf("counters %+v", n)
		}
		if (n.WriteMessages < n.WriteDatagrams) != (variant == "fast") {
			t.Errorf("%d messages for %d datagrams", n.WriteMessages, n.WriteDatagrams)
		}
	}
}

// TestExchangeOverVeth crosses two namespaces, with a server of two addresses
// in each family: the answer must come from the one that was asked.
func TestExchangeOverVeth(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			home, far := nstest.New(t), nstest.New(t)
			nstest.Veth(t, home, "ml-home", far, "ml-far")
			home.Up(t, "ml-home", "192.0.2.1/24", "2001:db8::1/64", "fe80::1/64")
			far.Up(t, "ml-far", "192.0.2.2/24", "192.0.2.3/24", "2001:db8::2/64", "2001:db8::3/64", "fe80::2/64")
			var server Conn
			far.Do(t, func() (err error) {
				server, err = Open(Options{Mode: v.mode})
				return err
			})
			defer server.Close()
			var conns []Conn
			for _, addr := range []string{"192.0.2.2", "192.0.2.3", "2001:db8::2", "2001:db8::3", "fe80::2%ml-home"} {
				target := netip.MustParseAddr(addr)
				local := netip.MustParseAddrPort("192.0.2.1:0")
				if target.Is6() {
					local = netip.MustParseAddrPort("[2001:db8::1]:0")
				}
				if target.Zone() != "" {
					local = netip.MustParseAddrPort("[fe80::1%ml-home]:0")
				}
				var client Conn
				home.Do(t, func() (err error) {
					client, err = Open(Options{
						Listen: local,
						Remote: netip.AddrPortFrom(target, server.LocalAddr().Port()),
						Device: "ml-home",
						Mark:   0x4d4c,
						Mode:   v.mode,
					})
					return err
				})
				defer client.Close()
				alarm(t, client, server)
				conns = append(conns, client)
				if v.hobble != nil {
					v.hobble(client)
				}
				exchange(t, client, server, target)
			}
			checkFinal(t, v.name, conns...)
		})
	}
}

func TestExchangeInMemory(t *testing.T) {
	m := NewMemory(300)
	server, err := m.Open(Options{Listen: netip.MustParseAddrPort("[::]:5410")})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"198.51.100.1", "2001:db8::5"} {
		addr := netip.MustParseAddr(target)
		client, err := m.Open(Options{Remote: netip.AddrPortFrom(addr, 5410)})
		if err != nil {
			t.Fatal(err)
		}
		alarm(t, client, server)
		exchange(t, client, server, addr)
	}
}
