package emu

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/link"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// recorder is a kernel that writes down what it is asked.
type recorder struct {
	text strings.Builder
	fail string // kind of object to refuse
}

func (r *recorder) index(name string) (int, error) {
	switch name {
	case "mc0":
		return 11, nil
	case "ms0":
		return 12, nil
	}
	return 0, fmt.Errorf("port %s: no such interface", name)
}

func (r *recorder) execute(q *nl.NetlinkRequest) error {
	if describe(q) == r.fail {
		return unix.ENOENT
	}
	q.Seq = 0
	message := q.Data[0].(*nl.TcMsg)
	fmt.Fprintf(&r.text, "%s: type %d, flags %#x, interface %d, parent %s, handle %s\n%s\n", describe(q), q.Type, q.Flags,
		message.Ifindex, netlink.HandleStr(message.Parent), netlink.HandleStr(message.Handle), hex.Dump(q.Serialize()))
	return nil
}

func (r *recorder) qdiscs(int) ([]netlink.Qdisc, error) { return nil, nil }

func (r *recorder) close() { r.text.WriteString("close\n") }

// golden compares text with a file in testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("other messages than in %s (rewrite it with -update and look at the difference):\n%s", path, text)
	}
}

// What netem is asked, message by message. The messages were compared with
// those of iproute2 6.1 for the same impairments.
func TestNetemMessages(t *testing.T) {
	if unix.Getpagesize() != 4096 || nl.NativeEndian().Uint16([]byte{1, 0}) != 1 {
		t.Skip("the files hold a little-endian machine's messages")
	}
	for _, c := range []struct {
		name string
		cfg  link.Config
	}{
		{"netem-plain", link.Config{}},
		{"netem-rate", link.Config{Rate: 50e6, Delay: 10 * time.Millisecond, Queue: link.Queue{Time: 100 * time.Millisecond}, MTU: 1400}},
		{"netem-fast", link.Config{Rate: 40e9, Queue: link.Queue{Packets: 100}}},
		{"netem-jitter", link.Config{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Queue: link.Queue{Bytes: 65536}}},
		{"netem-chance", link.Config{Loss: link.Loss{Good: 0.01}, Reorder: 0.05, Duplicate: 0.02, Corrupt: 0.003}},
		{"netem-gemodel", link.Config{Loss: link.Loss{P: 0.01, R: 0.25, Good: 0.001, Bad: 0.9}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{}
			for _, q := range chainRequests(12, &c.cfg, 42, false) {
				r.execute(q)
			}
			golden(t, c.name, r.text.String())
		})
	}
}

func TestNetemLife(t *testing.T) {
	if nl.NativeEndian().Uint16([]byte{1, 0}) != 1 {
		t.Skip("the file holds a little-endian machine's messages")
	}
	r := &recorder{}
	n := newNetem(r)
	for _, err := range []error{
		n.Attach(spec(0, link.Config{Rate: 1e6})),
		n.Blackhole(name(0), Up, true),
		n.Blackhole(name(0), Up, false),
		n.Set(name(0), Down, link.Config{Rate: 2e6}),
		n.Detach(name(0)),
		n.Set(name(0), Down, link.Config{Rate: 3e6}), // takes no message
		n.Attach(spec(0, link.Config{Rate: 4e6})),
		n.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "netem-life", r.text.String())
}

func TestNetemErrors(t *testing.T) {
	n := newNetem(&recorder{})
	traced := link.Config{Trace: &link.Trace{}}
	shared := spec(0, link.Config{})
	shared.UpShared = []string{"street"}
	tapped := spec(0, link.Config{})
	tapped.Client = Port{TAP: &TAP{}}
	for _, c := range []struct {
		what string
		err  error
		want error
	}{
		{"trace", n.Attach(spec(0, traced)), ErrUnsupported},
		{"bottleneck of a link", n.Attach(shared), ErrUnsupported},
		{"bottleneck", n.Bottleneck("street", link.Config{}, link.Config{}), ErrUnsupported},
		{"TAP", n.Attach(tapped), ErrUnsupported},
		{"set unknown", n.Set("x", Up, link.Config{}), ErrUnknown},
		{"set a trace", n.Set("x", Up, traced), ErrUnsupported},
		{"blackhole unknown", n.Blackhole("x", Up, true), ErrUnknown},
		{"detach unknown", n.Detach("x"), ErrUnknown},
		{"first attach", n.Attach(spec(0, link.Config{})), nil},
		{"second attach", n.Attach(spec(0, link.Config{})), ErrAttached},
		{"close", n.Close(), nil},
		{"attach after close", n.Attach(spec(0, link.Config{})), ErrClosed},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: error %v, want %v", c.what, c.err, c.want)
		}
	}
	if err := newNetem(&recorder{}).Attach(spec(7, link.Config{})); err == nil {
		t.Error("attached to interfaces that are not there")
	}
	r := &recorder{fail: "tbf"}
	err := newNetem(r).Attach(spec(0, link.Config{}))
	if !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "the kernel refused tbf") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(r.text.String(), fmt.Sprintf("type %d", unix.RTM_DELQDISC)) {
		t.Error("what had been made was not removed")
	}
}

func TestNormalTable(t *testing.T) {
	table := normalTable()
	var sum, squares float64
	before := int16(math.MinInt16)
	for i := 0; i < len(table); i += 2 {
		v := int16(nl.NativeEndian().Uint16(table[i:]))
		if v < before {
			t.Fatalf("entry %d: %d after %d", i/2, v, before)
		}
		before = v
		z := float64(v) / netemDistScale
		sum += z
		squares += z * z
	}
	n := float64(len(table) / 2)
	if math.Abs(sum/n) > 0.001 || math.Abs(math.Sqrt(squares/n)-1) > 0.005 {
		t.Errorf("mean %g, deviation %g", sum/n, math.Sqrt(squares/n))
	}
}

// bareKernel is a real kernel that is spared netem itself: tbf takes its place
// at the root. With it everything else the backend asks is tried where there
// is no netem.
type bareKernel struct{ *namespaceKernel }

func (k bareKernel) execute(r *nl.NetlinkRequest) error {
	message := r.Data[0].(*nl.TcMsg)
	switch describe(r) {
	case "netem":
		if r.Type != unix.RTM_DELQDISC {
			return nil
		}
		message.Handle = tbfHandle
		r.Data = r.Data[:1]
	case "tbf":
		message.Parent = netlink.HANDLE_ROOT
	}
	return k.namespaceKernel.execute(r)
}

func newBareNetem(b *bench) *netem {
	b.t.Helper()
	k, err := newNamespaceKernel(b.middle)
	if err != nil {
		b.t.Fatal(err)
	}
	n := newNetem(bareKernel{k})
	b.t.Cleanup(func() {
		if err := n.Close(); err != nil {
			b.t.Error(err)
		}
	})
	if err := n.Attach(spec(0, link.Config{})); errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		b.t.Skipf("this kernel lacks tbf, u32 or mirred: %v", err)
	} else if err != nil {
		b.t.Fatal(err)
	}
	return n
}

func TestKernelChain(t *testing.T) {
	b := newBench(t, 1)
	n := newBareNetem(b)
	b.transfer(0, 4, 1<<20)
	b.transfer(0, 6, 1<<20)
	for _, cfg := range []link.Config{
		{Rate: 100e6, Queue: link.Queue{Packets: 50}},
		{Rate: 100e6, Queue: link.Queue{Bytes: 100000}},
		{Queue: link.Queue{Packets: 1000}},
	} {
		for _, dir := range []Direction{Up, Down} {
			if err := n.Set(name(0), dir, cfg); err != nil {
				t.Fatal(err)
			}
		}
		b.transfer(0, 4, 1<<20)
	}
	if err := n.Detach(name(0)); err != nil {
		t.Fatal(err)
	}
	if err := n.Attach(spec(0, link.Config{})); err != nil {
		t.Fatal(err)
	}
	b.transfer(0, 4, 1<<20)
}

// The kernel counts rate, queue and MTU from the IP header on, as we do.
func TestKernelCountsIPBytes(t *testing.T) {
	b := newBench(t, 1)
	n := newBareNetem(b)
	to := serverAddress(0, 4)
	b.echo(to)
	conn := b.udp(b.client, anyPort(to))
	pings(t, conn, to) // finds the neighbour
	if err := n.Set(name(0), Up, link.Config{MTU: 1000}); err != nil {
		t.Fatal(err)
	}
	fits, exceeds := make([]byte, 1000-28), make([]byte, 1001-28)
	if silentAfter(t, conn, to, fits, patience) {
		t.Error("a packet of the size of the MTU did not pass")
	}
	if !silentAfter(t, conn, to, exceeds, time.Second) {
		t.Error("a packet of one byte more passed")
	}
	// A queue of exactly 20 packets of 1000 bytes, at a rate that lets none
	// of what waits go while we look.
	cfg := link.Config{Rate: 8000, Queue: link.Queue{Bytes: 20 * 1000}}
	if err := n.Set(name(0), Up, cfg); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := conn.WriteToUDPAddrPort(fits, to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all packets came to the queue", func() bool {
		return kernelDrops(t, n) >= 70
	})
	// The bucket of 4000 bytes lets up to 4 go at once, and one per second.
	if drops := kernelDrops(t, n); drops > 80 || drops < 70 {
		t.Errorf("%d of 100 packets dropped at a queue of 20", drops)
	}
}

// kernelDrops returns what tbf has dropped on the way up since the MTU test's
// one packet.
func kernelDrops(t *testing.T, n *netem) uint64 {
	t.Helper()
	s, err := n.Stats(name(0), Up)
	if err != nil {
		t.Fatal(err)
	}
	return s.DropQueue - 1
}

// silentAfter says whether a datagram stays unanswered for a while.
func silentAfter(t *testing.T, conn interface {
	WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
	SetReadDeadline(time.Time) error
	ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
}, to netip.AddrPort, data []byte, while time.Duration) bool {
	t.Helper()
	if _, err := conn.WriteToUDPAddrPort(data, to); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 2048)
	conn.SetReadDeadline(time.Now().Add(while))
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return true
		}
		if n == len(data) {
			return false
		}
	}
}
