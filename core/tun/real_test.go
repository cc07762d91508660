package tun

import (
	"errors"
	"os"
	"strings"
	"testing"

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
	ladder []offload
	// offloads is what must be in use.
	offloads string
}{
	{"fast", ModeFast, offloadLadder, "csum tso4 tso6 uso4 uso6"},
	{"fast without USO", ModeFast, append([]offload{impossible}, offloadLadder[1:]...), "csum tso4 tso6"},
	{"fast without offloads", ModeFast, append([]offload{impossible}, offloadLadder[2:]...), ""},
	{"fallback", ModeAuto, []offload{impossible}, ""},
	{"portable", ModePortable, nil, ""},
}

// openIn opens a device in a namespace.
func openIn(t *testing.T, ns *nstest.Namespace, o Options, ladder []offload) Device {
	t.Helper()
	var d Device
	ns.Do(t, func() (err error) {
		d, err = open(o, ladder)
		return err
	})
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestOpenReal(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", MTU: 1380, Mode: v.mode}, v.ladder)
			info := d.Info()
			if got := strings.Join(info.Offloads, " "); got != v.offloads && v.name != "fast" {
				t.Errorf("offloads %q, want %q", got, v.offloads)
			}
			if strings.HasPrefix(v.name, "fast") != (info.Mode == ModeFast) {
				t.Errorf("mode %s", info.Mode)
			}
			if v.name != "fast" && info.Reason == "" {
				t.Error("no reason for what is not in use")
			}
			link := ns.Link(t, "ml-test")
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
			openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.ladder)
			for name, want := range map[string]error{"ml-test": ErrInUse, "lo": ErrNotTUN} {
				ns.Do(t, func() error {
					if _, err := open(Options{Name: name, Mode: v.mode}, v.ladder); !errors.Is(err, want) {
						t.Errorf("%s: %v, want %v", name, err, want)
					}
					return nil
				})
			}
		})
	}
}

func TestCloseEndsRead(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.ladder)
			done := make(chan error)
			go func() {
				var b Batch
				for {
					if err := d.Read(&b); err != nil {
						done <- err
						return
					}
				}
			}()
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != os.ErrClosed {
				t.Errorf("Read: %v", err)
			}
			if err := d.Write([]core.Packet{{Data: packet(false, gso.ProtocolUDP, 1)}}); err != os.ErrClosed {
				t.Errorf("Write: %v", err)
			}
		})
	}
}

func TestDeletedInterfaceIsAnError(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.ladder)
			ns.Up(t, "ml-test")
			done := make(chan error)
			go func() {
				var b Batch
				for {
					if err := d.Read(&b); err != nil {
						done <- err
						return
					}
				}
			}()
			ns.Delete(t, "ml-test")
			if err := <-done; err == nil || errors.Is(err, os.ErrClosed) {
				t.Errorf("Read: %v", err)
			}
			if err := d.Write([]core.Packet{{Data: packet(false, gso.ProtocolUDP, 1)}}); err == nil {
				t.Error("Write: no error")
			}
		})
	}
}

func TestWriteDrops(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			ns := nstest.New(t)
			d := openIn(t, ns, Options{Name: "ml-test", Mode: v.mode}, v.ladder)
			udp := packet(false, gso.ProtocolUDP, 100)
			if err := d.Write([]core.Packet{{Data: udp}}); err != nil {
				t.Errorf("interface down: %v", err)
			}
			ns.Up(t, "ml-test")
			if err := d.Write([]core.Packet{
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
	d := openIn(t, ns, Options{Name: "ml-test", Mode: ModeFast}, offloadLadder)
	ns.Up(t, "ml-test")
	pristine := packet(false, gso.ProtocolTCP, 1000)
	var pkts []core.Packet
	for i := range 40 {
		p := packet(false, gso.ProtocolTCP, 1000)
		p[24], p[25], p[26], p[27] = 0, 0, byte(i*1000>>8), byte(i*1000%256)
		p[5] = byte(i)
		pkts = append(pkts, core.Packet{Data: p, Partial: true})
	}
	write := func() {
		copy(pkts[0].Data, pristine[:40])
		if err := d.Write(pkts); err != nil {
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
