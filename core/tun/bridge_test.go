package tun

import (
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

// bridge joins two devices as a tunnel does: each packet is cut to segments
// that cross alone.
type bridge struct {
	a, b   *nstest.Namespace
	da, db Device
	supers atomic.Int64 // super-packets read
	errors chan error   // what ended the readers
}

const (
	bridgeMTU = 1400
	addrA4    = "192.0.2.1"
	addrB4    = "192.0.2.2"
	addrA6    = "2001:db8::1"
	addrB6    = "2001:db8::2"
)

func newBridge(t *testing.T, mode Mode, k kernel) *bridge {
	t.Helper()
	br := &bridge{a: nstest.New(t), b: nstest.New(t), errors: make(chan error, 2*kinds)}
	o := Options{Name: "ml-test", MTU: bridgeMTU, Mode: mode}
	br.da, br.db = openIn(t, br.a, o, k), openIn(t, br.b, o, k)
	br.a.Up(t, "ml-test", addrA4+"/24", addrA6+"/64")
	br.b.Up(t, "ml-test", addrB4+"/24", addrB6+"/64")
	for i, q := range br.da.Queues() {
		r := br.db.Queues()[i]
		go func() { br.errors <- br.carry(q, r) }()
		go func() { br.errors <- br.carry(r, q) }()
	}
	t.Cleanup(func() {
		_, _ = br.da.Close(), br.db.Close()
		for range len(br.da.Queues()) + len(br.db.Queues()) {
			<-br.errors
		}
	})
	return br
}

func (br *bridge) carry(from, to Queue) error {
	var (
		b      Batch
		cursor gso.Cursor
		arena  = make([]byte, 2*arenaSize)
		out    []core.Packet
	)
	for {
		if err := from.Read(&b); err != nil {
			return err
		}
		out = out[:0]
		used := 0
		for _, p := range b.Packets {
			if p.Segment > 0 {
				br.supers.Add(1)
			}
			if err := cursor.Init(p); err != nil {
				return err
			}
			for cursor.Left() > 0 {
				n := cursor.Next(arena[used:])
				out = append(out, core.Packet{Data: arena[used : used+n], Partial: p.Partial})
				used += n
			}
		}
		if err := to.Write(out); err != nil {
			return err
		}
	}
}

// TestTCPThroughTunnel has the kernels at both ends run a TCP transfer, so
// that every header and checksum is judged by them.
func TestTCPThroughTunnel(t *testing.T) {
	data := make([]byte, 4<<20)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			br := newBridge(t, v.mode, v.kernel)
			for _, addr := range []string{addrB4, addrB6} {
				transfer(t, br, netip.MustParseAddr(addr), data)
			}
			fast := br.da.Info().Mode == ModeFast && len(br.da.Info().Offloads) > 0
			if got := br.supers.Load(); (got > 0) != fast {
				t.Errorf("%d super-packets were read", got)
			}
			c := br.db.Counters()
			if fast && c.WriteCalls*2 > c.WritePackets {
				t.Errorf("hardly a segment was joined: %+v", c)
			}
			if c.WriteMalformed+c.WriteRefused+c.WriteOversize+c.ReadMalformed > 0 {
				t.Errorf("drops: %+v", c)
			}
		})
	}
}

// transfer sends data from namespace a to addr in b and compares it.
func transfer(t *testing.T, br *bridge, addr netip.Addr, data []byte) {
	t.Helper()
	var listener net.Listener
	br.b.Do(t, func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	defer listener.Close()
	var client net.Conn
	br.a.Do(t, func() (err error) {
		client, err = net.Dial("tcp", listener.Addr().String())
		return err
	})
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, conn := range []net.Conn{client, server} {
		if err := conn.SetDeadline(time.Now().Add(nstest.Patience)); err != nil {
			t.Fatal(err)
		}
	}
	sent := make(chan error, 1)
	go func() {
		_, err := client.Write(data)
		if err == nil {
			err = client.(*net.TCPConn).CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(server)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(data) {
		t.Errorf("%s: %d bytes came out of %d, not the same", addr, len(got), len(data))
	}
}

// TestUDPThroughTunnel sends runs of datagrams with UDP_SEGMENT, the last one
// short, which the device hands over whole where it can.
func TestUDPThroughTunnel(t *testing.T) {
	const size, run, runs = 1000, 11, 10
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			br := newBridge(t, v.mode, v.kernel)
			for _, addr := range []string{addrB4, addrB6} {
				var receiver *net.UDPConn
				br.b.Do(t, func() (err error) {
					receiver, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)))
					return err
				})
				defer receiver.Close()
				var sender net.Conn
				br.a.Do(t, func() (err error) {
					sender, err = net.Dial("udp", receiver.LocalAddr().String())
					return err
				})
				defer sender.Close()
				setSegment(t, sender.(*net.UDPConn), size)
				payload := make([]byte, size*(run-1)+1)
				buf := make([]byte, 2*size)
				if err := receiver.SetReadDeadline(time.Now().Add(nstest.Patience)); err != nil {
					t.Fatal(err)
				}
				for i := range runs {
					for j := range payload {
						payload[j] = byte(i + j/size)
					}
					if _, err := sender.Write(payload); err != nil {
						t.Fatal(err)
					}
					for at := 0; at < len(payload); at += size {
						n, err := receiver.Read(buf)
						if err != nil {
							t.Fatalf("run %d, byte %d: %v; sender's device %+v, receiver's %+v", i, at, err, br.da.Counters(), br.db.Counters())
						}
						if want := payload[at:min(at+size, len(payload))]; !bytes.Equal(buf[:n], want) {
							t.Fatalf("run %d, byte %d: %d bytes %x..., want %d bytes %x...", i, at, n, buf[:1], len(want), want[:1])
						}
					}
				}
			}
			uso := len(br.da.Info().Offloads) == 5
			if got := br.supers.Load(); (got > 0) != uso {
				t.Errorf("%d super-packets were read", got)
			}
		})
	}
}

func setSegment(t *testing.T, c *net.UDPConn, size int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optErr error
	if err := raw.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size)
	}); err != nil || optErr != nil {
		t.Fatal(err, optErr)
	}
}
