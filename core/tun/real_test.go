package tun

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

// impossible is a rung that no kernel takes.
var impossible = offload{1 << 30, []string{"csum", "tso4", "tso6", "uso4", "uso6"}}

// variants are the devices that every test below runs with.
var variants = []struct {
	name   string
	mode   Mode
	kernel kernel
	// offloads is what must be in use, queues how many queues.
	offloads string
	queues   int
}{
	{"fast", ModeFast, kernel{offloadLadder, loadSteering}, "csum tso4 tso6 uso4 uso6", kinds},
	{"fast without steering", ModeFast, kernel{offloadLadder, noSteering}, "csum tso4 tso6 uso4 uso6", 1},
	{"fast without USO", ModeFast, kernel{append([]offload{impossible}, offloadLadder[1:]...), loadSteering}, "csum tso4 tso6", kinds},
	{"fast without offloads", ModeFast, kernel{append([]offload{impossible}, offloadLadder[2:]...), noSteering}, "", 1},
	{"fallback", ModeAuto, kernel{[]offload{impossible}, loadSteering}, "", 1},
	{"portable", ModePortable, kernel{}, "", 1},
}

// noSteering is a kernel that takes no programs.
func noSteering(int) (*ebpf.Program, error) { return nil, errNoSteering }

// openIn opens a device in a namespace.
func openIn(t *testing.T, ns *nstest.Namespace, o Options, k kernel) Device {
	t.Helper()
	var d Device
	ns.Do(t, func() (err error) {
		d, err = open(o, k)
		return err
	})
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestOpenReal(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", MTU: 1380, Mode: v.mode}, v.kernel)
			info := d.Info()
			if got := strings.Join(info.Offloads, " "); got != v.offloads && !strings.HasPrefix(v.name, "fast") {
				t.Errorf("offloads %q, want %q", got, v.offloads)
			}
			if strings.HasPrefix(v.name, "fast") != (info.Mode == ModeFast) {
				t.Errorf("mode %s", info.Mode)
			}
			if info.Queues != v.queues || len(d.Queues()) != v.queues {
				t.Errorf("%d queues, says %d, want %d", len(d.Queues()), info.Queues, v.queues)
			}
			if (v.name != "fast" || info.MaxSegments == 0) && info.Reason == "" {
				t.Error("no reason for what is not in use")
			}
			link := ns.Link(t, "ml-test")
			if link.TxQLen != queueLength {
				t.Errorf("queue of %d packets, want %d", link.TxQLen, queueLength)
			}
			if d.Name() != "ml-test" || link.MTU != 1380 {
				t.Errorf("name %s, MTU %d", d.Name(), link.MTU)
			}
			if info.MaxSegments != 0 && int(link.GSOMaxSegs) != info.MaxSegments {
				t.Errorf("max segments %d, said %d", link.GSOMaxSegs, info.MaxSegments)
			}
		})
	}
}

func TestOpenConflicts(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.kernel)
			for name, want := range map[string]error{"ml-test": ErrInUse, "lo": ErrNotTUN} {
				ns.Do(t, func() error {
					if _, err := open(Options{Name: name, Mode: v.mode}, v.kernel); !errors.Is(err, want) {
						t.Errorf("%s: %v, want %v", name, err, want)
					}
					return nil
				})
			}
		})
	}
}

// readAll reads all queues of a device and tells how each reader ended.
func readAll(d Device) <-chan error {
	done := make(chan error, len(d.Queues()))
	for _, q := range d.Queues() {
		go func() {
			var b Batch
			for {
				if err := q.Read(&b); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	return done
}

func TestCloseEndsRead(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.kernel)
			done := readAll(d)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			for range d.Queues() {
				if err := nstest.Receive(t, done, "the end of Read"); err != os.ErrClosed {
					t.Errorf("Read: %v", err)
				}
			}
			if err := d.Queues()[0].Write([]core.Packet{{Data: packet(false, gso.ProtocolUDP, 1)}}); err != os.ErrClosed {
				t.Errorf("Write: %v", err)
			}
		})
	}
}

func TestDeletedInterfaceIsAnError(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.kernel)
			ns.Up(t, "ml-test")
			done := readAll(d)
			ns.Delete(t, "ml-test")
			for range d.Queues() {
				if err := nstest.Receive(t, done, "the end of Read"); err == nil || errors.Is(err, os.ErrClosed) {
					t.Errorf("Read: %v", err)
				}
			}
			if err := d.Queues()[0].Write([]core.Packet{{Data: packet(false, gso.ProtocolUDP, 1)}}); err == nil {
				t.Error("Write: no error")
			}
		})
	}
}

func TestWriteDrops(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.kernel)
			udp := packet(false, gso.ProtocolUDP, 100)
			if err := d.Queues()[0].Write([]core.Packet{{Data: udp}}); err != nil {
				t.Errorf("interface down: %v", err)
			}
			ns.Up(t, "ml-test")
			if err := d.Queues()[0].Write([]core.Packet{
				{Data: []byte{0x12, 0x34}},
				{Data: nil},
				{Data: udp[:50], Partial: true},
				{Data: make([]byte, gso.MaxPacket+1)},
				{Data: udp},
			}); err != nil {
				t.Errorf("bad packets: %v", err)
			}
			c := d.Counters()
			if c.WriteDown != 1 || c.WriteRefused != 1 || c.WriteMalformed != 2 || c.WriteOversize != 1 || c.WriteCalls != 1 || c.WritePackets != 6 {
				t.Errorf("counters %+v", c)
			}
		})
	}
}

func TestFastWriteAllocatesNothing(t *testing.T) {
	ns := nstest.New(t)
	d := openIn(t, ns, Options{Name: "ml-test", Mode: ModeFast}, kernel{offloadLadder, loadSteering})
	ns.Up(t, "ml-test")
	pristine := packet(false, gso.ProtocolTCP, 1000)
	var pkts []core.Packet
	for i := range 40 {
		p := packet(false, gso.ProtocolTCP, 1000)
		p[24], p[25], p[26], p[27] = 0, 0, byte(i*1000>>8), byte(i*1000%256)
		p[5] = byte(i)
		pkts = append(pkts, core.Packet{Data: p, Partial: true})
	}
	queue := d.Queues()[0]
	write := func() {
		copy(pkts[0].Data, pristine[:40])
		if err := queue.Write(pkts); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if n := testing.AllocsPerRun(50, write); n != 0 {
		t.Errorf("%v allocations per Write", n)
	}
	if c := d.Counters(); c.WriteCalls == 0 || c.WritePackets/c.WriteCalls != 40 {
		t.Errorf("40 segments were not joined to one: %+v", c)
	}
}

func TestFastReadAllocatesNothing(t *testing.T) {
	const each = 16
	ns := nstest.New(t)
	d := openIn(t, ns, Options{Name: "ml-test", Mode: ModeFast}, kernel{offloadLadder, noSteering})
	ns.Up(t, "ml-test", addrA4+"/24")
	var c *net.UDPConn
	ns.Do(t, func() (err error) {
		c, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addrB4+":9")))
		return err
	})
	defer c.Close()
	defer time.AfterFunc(nstest.Patience, func() { _ = d.Close() }).Stop()
	payload := make([]byte, 1000)
	q := d.Queues()[0]
	var b Batch
	round := func() {
		for range each {
			if _, err := c.Write(payload); err != nil {
				t.Fatal(err)
			}
		}
		for got := 0; got < each; {
			if err := q.Read(&b); err != nil {
				t.Fatal(err)
			}
			for _, p := range b.Packets {
				if len(p.Data) == 28+len(payload) { // not the kernel's own
					got++
				}
			}
		}
	}
	round()
	if n := testing.AllocsPerRun(50, round); n != 0 {
		t.Errorf("%v allocations for %d packets", n, each)
	}
}
