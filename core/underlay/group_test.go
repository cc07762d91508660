package underlay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

// came is what one socket of a group received from one client.
type came struct {
	socket int
	next   uint64
}

// readers read all sockets of a group, and check that what one client sends stays in
// order at one socket.
type readers struct {
	t       *testing.T
	reading sync.WaitGroup
	all     chan struct{} // closed when all has come

	mu    sync.Mutex
	found map[netip.AddrPort]*came
	left  int
}

func readGroup(t *testing.T, group []Conn, expected int) *readers {
	r := &readers{t: t, all: make(chan struct{}), found: map[netip.AddrPort]*came{}, left: expected}
	for i, c := range group {
		r.reading.Go(func() {
			for b := new(Batch); c.Read(b) == nil; {
				for _, d := range b.Datagrams {
					r.take(i, d)
				}
			}
		})
	}
	return r
}

func (r *readers) take(socket int, d core.Datagram) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.found[d.Path.Remote]
	if c == nil {
		c = &came{socket: socket}
		r.found[d.Path.Remote] = c
	}
	if n := binary.BigEndian.Uint64(d.Data); c.socket != socket || c.next != n {
		r.t.Errorf("%v: number %d at socket %d, want %d at %d", d.Path.Remote, n, socket, c.next, c.socket)
	}
	c.next++
	if r.left--; r.left == 0 {
		close(r.all)
	}
}

// TestGroupSharesClients has many clients send to a group of sockets: the work
// is shared, and what one client sends stays in order at one socket.
func TestGroupSharesClients(t *testing.T) {
	const sockets, clients, each = 4, 64, 20
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			group, err := OpenGroup(Options{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Mode: v.mode}, sockets)
			if err != nil {
				t.Fatal(err)
			}
			r := readGroup(t, group, clients*each)
			for range clients {
				c, err := net.Dial("udp", group[0].LocalAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				for n := range uint64(each) {
					if _, err := c.Write(binary.BigEndian.AppendUint64(nil, n)); err != nil {
						t.Fatal(err)
					}
				}
			}
			select {
			case <-r.all:
			case <-time.After(nstest.Patience):
				t.Error("not all datagrams came")
			}
			for _, c := range group {
				_ = c.Close()
			}
			r.reading.Wait()
			used := map[int]int{}
			for _, c := range r.found {
				used[c.socket]++
			}
			if len(used) != sockets {
				t.Errorf("clients by socket: %v", used)
			}
		})
	}
}

// TestGroupIsAPort: the sockets of a group have one port, of which another
// process's ordinary socket gets no share, and a group that cannot be opened
// leaves nothing open.
func TestGroupIsAPort(t *testing.T) {
	group, err := OpenGroup(Options{Listen: netip.MustParseAddrPort("127.0.0.1:0")}, 3)
	if err != nil {
		t.Fatal(err)
	}
	at := group[0].LocalAddr()
	for _, c := range group {
		if c.LocalAddr() != at {
			t.Errorf("%v, want %v", c.LocalAddr(), at)
		}
		defer c.Close()
	}
	if c, err := Open(Options{Listen: at}); err == nil {
		c.Close()
		t.Error("an ordinary socket was given the port of a group")
	}
	alone, err := Open(Options{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	if _, err := OpenGroup(Options{Listen: alone.LocalAddr()}, 2); err == nil {
		t.Error("a group was given a port in use")
	}
}
