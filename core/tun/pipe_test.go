package tun

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
	"github.com/multilink-vpn/multilink/core/underlay/nstest"
)

func TestPipe(t *testing.T) {
	d, far := NewPipe("tun0", 3, 0)
	buf := []byte{1}
	for i := range 4 {
		buf[0] = byte(i)
		if room := far.Inject(core.Packet{Data: buf}); room != (i < 3) {
			t.Errorf("packet %d: room %v", i, room)
		}
	}
	var b Batch
	if err := d.Queues()[0].Read(&b); err != nil || len(b.Packets) != 3 || b.Packets[2].Data[0] != 2 {
		t.Fatalf("Read: %v, %v", err, b.Packets)
	}
	if err := d.Queues()[0].Write([]core.Packet{{Data: []byte{0}}, {Data: []byte{1}, Partial: true}, {Data: []byte{2}}, {Data: []byte{3}}}); err != nil {
		t.Fatal(err)
	}
	if c := d.Counters(); c.WritePackets != 4 || c.WriteCalls != 3 || c.WriteNoBuffer != 1 || c.ReadPackets != 3 {
		t.Errorf("counters %+v", c)
	}
	for i := range 3 {
		p, err := far.Collect(context.Background())
		if err != nil || p.Data[0] != byte(i) || p.Partial != (i == 1) {
			t.Errorf("packet %d: %v, %v", i, p, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := far.Collect(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing to collect: %v", err)
	}
}

func TestPipeClose(t *testing.T) {
	d, far := NewPipe("tun0", 1, 0)
	done := make(chan error, 1)
	go func() { done <- d.Queues()[0].Read(new(Batch)) }()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := nstest.Receive(t, done, "the end of Read"); err != os.ErrClosed {
		t.Errorf("Read: %v", err)
	}
	if err := d.Queues()[0].Write([]core.Packet{{Data: []byte{1}}}); err != os.ErrClosed {
		t.Errorf("Write: %v", err)
	}
	if _, err := far.Collect(context.Background()); err != os.ErrClosed {
		t.Errorf("Collect: %v", err)
	}
	if far.Inject(core.Packet{Data: []byte{1}}) {
		t.Error("Inject found room in a closed device")
	}
}

func TestPipeHasWays(t *testing.T) {
	const ways = 3
	d, far := NewPipe("tun0", 1, ways)
	for _, v6 := range []bool{false, true} {
		for destination := range byte(2 * ways) {
			p := packet(v6, gso.ProtocolUDP, 1)
			if v6 {
				p[39] = destination
			} else {
				p[19] = destination
			}
			var b Batch
			far.Inject(core.Packet{Data: p})
			if err := d.Queues()[destination%ways].Read(&b); err != nil || len(b.Packets) != 1 {
				t.Fatalf("v6 %v, to %d: %d packets, %v", v6, destination, len(b.Packets), err)
			}
		}
	}
}
