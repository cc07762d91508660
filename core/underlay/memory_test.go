package underlay

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

func TestMemoryFilterAndBounds(t *testing.T) {
	m := NewMemory(2)
	serverAddr := netip.MustParseAddrPort("192.0.2.1:5410")
	server, err := m.Open(Options{Listen: serverAddr})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Open(Options{Listen: serverAddr}); !errors.Is(err, ErrInUse) {
		t.Errorf("the same address twice: %v", err)
	}
	client, err := m.Open(Options{Listen: netip.MustParseAddrPort("198.51.100.1:0"), Remote: serverAddr})
	if err != nil {
		t.Fatal(err)
	}
	m.SetFilter(func(from, to netip.AddrPort, data []byte) error {
		if from != client.LocalAddr() || to != serverAddr {
			t.Errorf("from %s to %s", from, to)
		}
		switch data[0] {
		case 'l':
			return ErrLost
		case 'e':
			return unix.ENETUNREACH
		}
		return nil
	})
	if err := client.Write([]byte("laelb"), 1, core.Path{}); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("filter's error: %v", err)
	}
	m.SetFilter(nil)
	if err := client.Write([]byte("bcd"), 1, core.Path{}); err != nil {
		t.Error(err)
	}
	if n := client.Counters(); n.WriteDatagrams != 3 || n.WriteFailed != 3 || n.WriteNoBuffer != 2 {
		t.Errorf("counters %+v", n)
	}
	var b Batch
	expect(t, server, &b, []byte("ab"), 1)

	stranger, err := m.Open(Options{Listen: netip.MustParseAddrPort("203.0.113.1:1")})
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Write([]byte("x"), 0, core.Path{Remote: client.LocalAddr()}); err != nil {
		t.Error(err)
	}
	if err := stranger.Write([]byte("x"), 0, core.Path{}); !errors.Is(err, unix.EDESTADDRREQ) {
		t.Errorf("no destination: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- client.Read(&b) }()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if err := nstest.Receive(t, done, "the end of Read"); err != net.ErrClosed {
		t.Errorf("Read: %v; a client heard a stranger?", err)
	}
	if err := client.Write([]byte("x"), 0, core.Path{}); err != net.ErrClosed {
		t.Errorf("Write: %v", err)
	}
}
