package emu

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/multilink-vpn/multilink/sim/link"
	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// tapSpec makes TAPs instead of the veth pairs of link i.
func (b *bench) tapSpec(i int, cfg link.Config) Spec {
	b.t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		b.t.Skipf("needs /dev/net/tun: %v", err)
	}
	s := spec(i, cfg)
	client, err := OpenTAP(b.client, fmt.Sprintf("c%d", i))
	if err != nil {
		b.t.Fatal(err)
	}
	server, err := OpenTAP(b.server, fmt.Sprintf("s%d", i))
	if err != nil {
		b.t.Fatal(err)
	}
	s.Client, s.Server = Port{TAP: client}, Port{TAP: server}
	b.setUp(b.client, fmt.Sprintf("c%d", i), true)
	b.setUp(b.server, fmt.Sprintf("s%d", i), true)
	return s
}

// attachTAPs starts link i with TAPs that have addresses.
func (b *bench) attachTAPs(e Impairer, i int, cfg link.Config) {
	b.t.Helper()
	b.attach(e, b.tapSpec(i, cfg))
	b.address(b.client, fmt.Sprintf("c%d", i), i, 1)
	b.address(b.server, fmt.Sprintf("s%d", i), i, 2)
}

func TestTAP(t *testing.T) {
	b := newBench(t, 0)
	e := b.emulator(Options{})
	b.attachTAPs(e, 0, link.Config{Rate: 100e6, Delay: 5 * time.Millisecond, Queue: link.Queue{Time: 100 * time.Millisecond}})
	for _, family := range []int{4, 6} {
		to := serverAddress(0, family)
		b.echo(to)
		conn := b.udp(b.client, anyPort(to))
		if rtt := pings(t, conn, to); rtt < 10*time.Millisecond {
			t.Errorf("IPv%d: round trip %v", family, rtt)
		}
		b.transfer(0, family, 1<<20)
	}
	if d := e.Health().Drops; d.Oversize > 0 || d.Send > 0 {
		t.Errorf("hidden drops %+v", d)
	}
	// Detach removes the interfaces; new ones take their place.
	if err := e.Detach(name(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the interface is gone", func() bool {
		return nsdo.In(b.client, func() error { _, err := net.InterfaceByName("c0"); return err }) != nil
	})
	b.attachTAPs(e, 0, link.Config{})
	b.transfer(0, 4, 1<<20)
	// A link that is down loses its frames, which is no fault of the emulator.
	b.setUp(b.server, "s0", false)
	conn := b.udp(b.client, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	conn.WriteToUDPAddrPort([]byte("lost"), serverAddress(0, 4))
	eventually(t, "the frame is lost", func() bool {
		s, _ := e.Stats(name(0), Up)
		return s.DropFlush > 0
	})
	if d := e.Health().Drops; d.Send > 0 {
		t.Errorf("hidden drops %+v", d)
	}
}

// Both kinds of port carry the same packets to the same fates.
func TestTAPAgreesWithPacketSocket(t *testing.T) {
	const packets = 400
	cfg := link.Config{Loss: link.Loss{Good: 0.3}}
	fates := func(tap bool) string {
		b := newBench(t, 0)
		e := b.emulator(Options{})
		if tap {
			b.attach(e, b.tapSpec(0, cfg))
		} else {
			if err := b.rig.plug(0); err != nil {
				t.Fatal(err)
			}
			b.attach(e, spec(0, cfg))
		}
		// Without addresses nothing else is sent on the interface.
		client, err := openStation(b.client, "c0")
		if err != nil {
			t.Fatal(err)
		}
		defer client.socket.close()
		var pattern []byte
		var before link.Stats
		for range packets {
			if _, err := client.socket.transmit([]*frame{newFrame(100)}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the packet came in", func() bool {
				s, _ := e.Stats(name(0), Up)
				if s.PacketsIn == before.PacketsIn {
					return false
				}
				pattern = append(pattern, '0'+byte(s.DropLoss-before.DropLoss))
				before = s
				return true
			})
		}
		return string(pattern)
	}
	if veth, tap := fates(false), fates(true); veth != tap {
		t.Errorf("other packets were lost:\n%s on AF_PACKET\n%s on TAPs", veth, tap)
	}
}

func TestOpenTAPErrors(t *testing.T) {
	b := newBench(t, 1)
	if _, err := OpenTAP(b.client, "a-name-of-16-cha"); err == nil {
		t.Error("took a name of 16 characters")
	}
	if _, err := OpenTAP(b.client, "c0"); err == nil {
		t.Error("took the name of a veth")
	}
}
