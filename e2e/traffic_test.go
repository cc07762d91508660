package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/scenario"
	"github.com/multilink-vpn/multilink/sim/traffic"
)

// transfer moves size bytes over TCP between a client's machine and a host of
// the router, one way after the other, and checks that the same bytes arrive.
func transfer(client, router *machine, host string, size int64) {
	GinkgoHelper()
	here, there := traffic.End{NS: client.ns}, traffic.End{NS: router.ns, Addr: netip.MustParseAddr(host)}
	for _, t := range []scenario.Traffic{
		{Name: "down", Kind: "http", Count: 1, Size: size},
		{Name: "up", Kind: "tcp", Direction: "up", Streams: 1, Size: size},
	} {
		out, err := traffic.Run(context.Background(), traffic.Job{
			Traffic: t, Client: here, Host: there, Origin: time.Now(), Until: 3 * patience, Seed: 1,
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(out.Faults).To(BeEmpty(), "%s", t.Name)
		Expect(out.Values["bytes"]).To(BeEquivalentTo(size), "%s: %v", t.Name, out.Notes)
	}
}

// socketOptions are what a socket can have set.
type socketOptions struct {
	mark   int
	device string
}

func (o socketOptions) control(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		if o.mark != 0 {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, o.mark)
		}
		if o.device != "" {
			failed = errors.Join(failed, unix.BindToDevice(int(fd), o.device))
		}
	})
	return errors.Join(err, failed)
}

// dialTimeout bounds one attempt to connect.
const dialTimeout = 5 * time.Second

// dial connects from a machine.
func (m *machine) dial(address string, o socketOptions) (conn net.Conn, err error) {
	err = nsdo.In(m.ns, func() error {
		d := net.Dialer{Timeout: dialTimeout, Control: o.control}
		conn, err = d.Dial("tcp", address)
		return err
	})
	return conn, err
}

// mirrorPort is where mirror listens.
const mirrorPort = "7007"

// mirror answers every connection to the machine with the address that it
// comes from.
func (m *machine) mirror() {
	GinkgoHelper()
	var listener net.Listener
	m.do(func() (err error) {
		listener, err = net.Listen("tcp", ":"+mirrorPort)
		return err
	})
	DeferCleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			from, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
			_, _ = io.WriteString(conn, from.Addr().Unmap().String())
			conn.Close()
		}
	}()
}

// seenAs asks the mirror at a host from which address this machine's
// connections come.
func (m *machine) seenAs(host string, o socketOptions) (string, error) {
	conn, err := m.dial(net.JoinHostPort(host, mirrorPort), o)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(dialTimeout))
	text, err := io.ReadAll(conn)
	return string(text), err
}

// inbox is a UDP socket and what it has received.
type inbox struct {
	mu   sync.Mutex
	from []string
}

// inbox listens on an address of the machine.
func (m *machine) inbox(address string, port int) *inbox {
	GinkgoHelper()
	var conn *net.UDPConn
	m.do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), uint16(port))))
		return err
	})
	DeferCleanup(func() { conn.Close() })
	i := &inbox{}
	go func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				i.mu.Lock()
				i.from = append(i.from, from.Addr().Unmap().String())
				i.mu.Unlock()
			}
		}
	}()
	return i
}

// senders lists the sender of each datagram.
func (i *inbox) senders() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.from)
}

// datagrams sends a number of UDP datagrams from the machine.
func (m *machine) datagrams(to string, port, count int) {
	GinkgoHelper()
	var conn net.Conn
	m.do(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(to), uint16(port))))
		return err
	})
	defer conn.Close()
	for range count {
		// Refused: what came of an earlier one. It says nothing of this one.
		if _, err := conn.Write([]byte("hello")); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
			Expect(err).NotTo(HaveOccurred())
		}
	}
}

// inject sends an IP packet as it is into an interface of the machine.
func (m *machine) inject(device string, packet []byte) {
	GinkgoHelper()
	index := m.link(device).Attrs().Index
	protocol := uint16(unix.ETH_P_IP)
	if packet[0]>>4 == 6 {
		protocol = unix.ETH_P_IPV6
	}
	m.do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		bigEndian := protocol<<8 | protocol>>8
		return os.NewSyscallError("sendto", unix.Sendto(fd, packet, 0, &unix.SockaddrLinklayer{Protocol: bigEndian, Ifindex: index}))
	})
}

// deadline is when patience ends.
func deadline() time.Time { return time.Now().Add(patience) }
