package sniff

import (
	"bytes"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// TestSocketSees sends a datagram to itself over the loopback interface, which
// shows it twice: as it leaves and as it comes.
func TestSocketSees(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	ns, err := nsdo.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	seen := make(chan Packet, 16)
	prepared := false
	s, err := Open(ns, 60, func(int) error { prepared = true; return nil }, func(p Packet) {
		p.Data = bytes.Clone(p.Data)
		seen <- p
	})
	if err != nil {
		t.Fatal(err)
	}
	err = nsdo.In(ns, func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(lo); err != nil {
			return err
		}
		c, err := net.Dial("udp4", "127.0.0.1:9")
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(make([]byte, 100))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		select {
		case p := <-seen:
			// Ethernet, IPv4 and UDP headers are before the 100 bytes.
			if len(p.Data) != 60 || p.Length != 14+20+8+100 || p.Hardware != unix.ARPHRD_LOOPBACK {
				t.Errorf("%d bytes of %d, hardware %d", len(p.Data), p.Length, p.Hardware)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no packet was seen")
		}
	}
	if err := s.Close(); err != nil || !prepared {
		t.Errorf("closing: %v; prepared: %v", err, prepared)
	}
}
