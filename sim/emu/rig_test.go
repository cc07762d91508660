package emu

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/tune"
)

func TestMain(m *testing.M) {
	defer tune.Process()()
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of a test for something that must happen.
const patience = 20 * time.Second

// bench is a rig with addresses, for a test. Link i has 10.99.<i>.1 and
// fd99:<i>::1 at the client, .2 and ::2 at the server.
type bench struct {
	*rig
	t *testing.T
}

func newBench(t *testing.T, links int) *bench {
	t.Helper()
	needRoot(t)
	r, err := newRig()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{rig: r, t: t}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	for i := range links {
		b.plug(i)
	}
	return b
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces and AF_PACKET sockets")
	}
}

// plug makes the i-th link's interfaces and gives them addresses.
func (b *bench) plug(i int) {
	b.t.Helper()
	if err := b.rig.plug(i); err != nil {
		b.t.Fatal(err)
	}
	b.address(b.client, fmt.Sprintf("c%d", i), i, 1)
	b.address(b.server, fmt.Sprintf("s%d", i), i, 2)
}

func (b *bench) address(ns netns.NsHandle, name string, i, host int) {
	b.t.Helper()
	err := nsdo.In(ns, func() error {
		enable := "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"
		if err := os.WriteFile(enable, []byte("0"), 0); err != nil {
			return err
		}
		device, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		for _, text := range []string{fmt.Sprintf("10.99.%d.%d/24", i, host), fmt.Sprintf("fd99:%d::%d/64", i, host)} {
			address, err := netlink.ParseAddr(text)
			if err != nil {
				return err
			}
			address.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(device, address); err != nil {
				return fmt.Errorf("add %s: %w", text, err)
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// emulator starts a user backend that ends with the test.
func (b *bench) emulator(opts Options) Impairer {
	b.t.Helper()
	e, err := NewUser(b.middle, opts)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return e
}

// spec is the i-th link with a configuration for both directions.
func spec(i int, cfg link.Config) Spec {
	return Spec{
		Link:   name(i),
		Client: Port{Name: fmt.Sprintf("mc%d", i)}, Server: Port{Name: fmt.Sprintf("ms%d", i)},
		Up: cfg, Down: cfg, UpSeed: 1, DownSeed: 2,
	}
}

func name(i int) string { return fmt.Sprintf("link%d", i) }

func (b *bench) attach(e Impairer, s Spec) {
	b.t.Helper()
	if err := e.Attach(s); err != nil {
		b.t.Fatal(err)
	}
}

// serverAddress returns the server's address on link i.
func serverAddress(i, family int) netip.AddrPort {
	if family == 6 {
		return netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("fd99:%d::2", i)), 7000)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 99, byte(i), 2}), 7000)
}

// echo answers UDP datagrams on the server's address until the test ends.
func (b *bench) echo(address netip.AddrPort) {
	b.t.Helper()
	conn := b.udp(b.server, address)
	done := make(chan struct{})
	b.t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			conn.WriteToUDPAddrPort(buffer[:n], from)
		}
	}()
}

// anyPort is the local address to reach another from. (Without an address Go
// would look once, in whatever namespace it is then, whether there is IPv6.)
func anyPort(to netip.AddrPort) netip.AddrPort {
	if to.Addr().Is6() {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
}

// udp opens a socket in a namespace.
func (b *bench) udp(ns netns.NsHandle, address netip.AddrPort) *net.UDPConn {
	b.t.Helper()
	var conn *net.UDPConn
	err := nsdo.In(ns, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(address))
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

// pings sends numbered datagrams until one comes back, and returns how long
// that one took.
func pings(t *testing.T, conn *net.UDPConn, to netip.AddrPort) time.Duration {
	t.Helper()
	buffer := make([]byte, 2048)
	sent := map[string]time.Time{}
	var failure error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		text := fmt.Sprint(len(sent), " ", time.Now().UnixNano())
		sent[text] = time.Now()
		// While the interface is away, sending fails: try again.
		_, failure = conn.WriteToUDPAddrPort([]byte(text), to)
		conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if at, ok := sent[string(buffer[:n])]; err == nil && ok {
			return time.Since(at)
		}
	}
	t.Fatalf("no answer from %s (error of the last try to send: %v)", to, failure)
	return 0
}

// silent says whether a datagram to an echo stays unanswered for a while. It
// can only err towards true.
func silent(t *testing.T, conn *net.UDPConn, to netip.AddrPort) bool {
	t.Helper()
	text := fmt.Sprint("silent ", time.Now().UnixNano())
	if _, err := conn.WriteToUDPAddrPort([]byte(text), to); err != nil {
		return true
	}
	buffer := make([]byte, 2048)
	conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return true
		}
		if string(buffer[:n]) == text {
			return false
		}
	}
}

// change does something to an interface.
func (b *bench) change(ns netns.NsHandle, name string, do func(netlink.Link) error) {
	b.t.Helper()
	err := nsdo.In(ns, func() error {
		device, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return do(device)
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// setUp sets an interface up or down.
func (b *bench) setUp(ns netns.NsHandle, name string, up bool) {
	b.t.Helper()
	if up {
		b.change(ns, name, netlink.LinkSetUp)
	} else {
		b.change(ns, name, netlink.LinkSetDown)
	}
}

func (b *bench) setMTU(ns netns.NsHandle, name string, mtu int) {
	b.t.Helper()
	b.change(ns, name, func(device netlink.Link) error { return netlink.LinkSetMTU(device, mtu) })
}

// transfer sends random bytes over TCP from the client to the server and
// compares hashes.
func (b *bench) transfer(i, family, size int) {
	b.t.Helper()
	address := net.TCPAddrFromAddrPort(serverAddress(i, family))
	var listener *net.TCPListener
	err := nsdo.In(b.server, func() (err error) {
		listener, err = net.ListenTCP("tcp", address)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan [32]byte, 1)
	go func() {
		defer close(received)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		hash := sha256.New()
		io.Copy(hash, conn)
		received <- [32]byte(hash.Sum(nil))
	}()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(data)
	err = nsdo.In(b.client, func() error {
		conn, err := net.DialTimeout("tcp", address.String(), patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		_, err = conn.Write(data)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if got := <-received; got != sha256.Sum256(data) {
		b.t.Fatal("the server received other bytes")
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}
