package underlay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

func TestTCP(t *testing.T) {
	ns := nstest.New(t)
	for _, test := range []struct{ listen, local, target string }{
		{"127.0.0.1:0", "127.0.0.5:0", "127.0.0.1"},
		{"[::]:0", "", "127.0.0.1"},
		{"[::]:0", "[::1]:0", "::1"},
		{"", "", "::1"},
	} {
		ns.Do(t, func() error {
			var listen, local netip.AddrPort
			if test.listen != "" {
				listen = netip.MustParseAddrPort(test.listen)
			}
			if test.local != "" {
				local = netip.MustParseAddrPort(test.local)
			}
			l, err := ListenTCP(listen)
			if err != nil {
				return err
			}
			defer l.Close()
			addr := l.Addr().(*net.TCPAddr).AddrPort()
			client, err := DialTCP(context.Background(), Options{
				Listen: local,
				Remote: netip.AddrPortFrom(netip.MustParseAddr(test.target), addr.Port()),
				Device: "lo",
				Mark:   7,
			})
			if err != nil {
				return err
			}
			defer client.Close()
			server, err := l.Accept()
			if err != nil {
				return err
			}
			defer server.Close()
			from := server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			if local.IsValid() && from != local.Addr() {
				t.Errorf("%+v: from %s", test, from)
			}
			checkTCP(t, client, 7)
			checkTCP(t, server, 0)
			checkControl(t, addr)
			if _, err := ListenTCP(addr); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), addr.String()) {
				t.Errorf("%+v: port in use: %v", test, err)
			}
			return nil
		})
	}
}

// checkTCP checks the options of one end of a connection.
func checkTCP(t *testing.T, c net.Conn, mark int) {
	t.Helper()
	if err := mustRaw(t, c).Control(func(fd uintptr) {
		for _, o := range []struct {
			name                string
			level, option, want int
		}{
			{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 10_000},
			{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK, mark},
		} {
			if got, err := unix.GetsockoptInt(int(fd), o.level, o.option); got != o.want {
				t.Errorf("%s is %d (%v), want %d", o.name, got, err, o.want)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
}

// checkControl connects a socket of another package's making over a link.
func checkControl(t *testing.T, addr netip.AddrPort) {
	t.Helper()
	d := net.Dialer{Control: Control(Options{Device: "lo", Mark: 9})}
	c, err := d.Dial("udp", addr.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	if err := mustRaw(t, c).Control(func(fd uintptr) {
		if mark, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK); mark != 9 {
			t.Errorf("mark %d, %v", mark, err)
		}
	}); err != nil {
		t.Error(err)
	}
}

func mustRaw(t *testing.T, c net.Conn) syscall.RawConn {
	t.Helper()
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestDialTCPErrors(t *testing.T) {
	l, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	_ = l.Close()
	for _, test := range []struct {
		o    Options
		want error
	}{
		{Options{Remote: addr}, unix.ECONNREFUSED},
		{Options{Remote: addr, Device: "ml-nothing"}, ErrNoDevice},
		{Options{Remote: addr, Listen: netip.MustParseAddrPort("192.0.2.77:0")}, ErrNoAddress},
	} {
		if _, err := DialTCP(context.Background(), test.o); !errors.Is(err, test.want) {
			t.Errorf("%+v: %v, want %v", test.o, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := DialTCP(ctx, Options{Remote: addr}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
