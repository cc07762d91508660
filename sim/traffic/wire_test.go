package traffic

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/meter"
	"github.com/multilink-vpn/multilink/sim/nsdo"
	"github.com/multilink-vpn/multilink/sim/scenario"
)

// wire is two namespaces with a cable between them.
type wire struct {
	client, host netns.NsHandle
	hostEnd      netlink.Link
	hostHandle   *netlink.Handle
}

const device = "cable0"

// patience bounds every wait for something that must happen, and what a busy
// machine may delay.
const patience = 20 * time.Second

func newWire(t *testing.T) *wire {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: network namespaces")
	}
	w := &wire{}
	id := fmt.Sprintf("mls-traffic-%08x", rand.Uint32())
	for name, ns := range map[string]*netns.NsHandle{id + "-client": &w.client, id + "-host": &w.host} {
		var err error
		if *ns, err = nsdo.Create(name); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ns.Close()
			if err := nsdo.Delete(name); err != nil {
				t.Error(err)
			}
		})
	}
	client, err := netlink.NewHandleAt(w.client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if w.hostHandle, err = netlink.NewHandleAt(w.host); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.hostHandle.Close)
	err = client.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: device},
		PeerName: device, PeerNamespace: netlink.NsFd(int(w.host))})
	if err != nil {
		t.Fatal(err)
	}
	setUp(t, client, "198.18.0.9/24", "fd00:198:18::9/64")
	w.hostEnd = setUp(t, w.hostHandle, "198.18.0.1/24", "fd00:198:18::1/64")
	waitUp(t, client)
	waitUp(t, w.hostHandle)
	return w
}

// waitUp waits until the kernel has noticed that the cable is connected: it
// drops what is sent before.
func waitUp(t *testing.T, h *netlink.Handle) {
	t.Helper()
	for limit := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		link, err := h.LinkByName(device)
		if err != nil {
			t.Fatal(err)
		}
		if link.Attrs().OperState == netlink.OperUp {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("the cable is %v, not up", link.Attrs().OperState)
		}
	}
}

// setUp gives the cable's end its addresses, without waiting for others to
// object to them.
func setUp(t *testing.T, h *netlink.Handle, addresses ...string) netlink.Link {
	t.Helper()
	link, err := h.LinkByName(device)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(link); err != nil {
		t.Fatal(err)
	}
	for _, a := range addresses {
		address, err := netlink.ParseAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		if address.IP.To4() == nil {
			address.Flags = 0x02 // IFA_F_NODAD
		}
		if err := h.AddrAdd(link, address); err != nil {
			t.Fatal(err)
		}
	}
	return link
}

// job is a traffic over the wire that starts at once.
func (w *wire) job(kind scenario.Traffic) Job {
	kind.Name = "t"
	address := netip.MustParseAddr("198.18.0.1")
	if kind.IP == 6 {
		address = netip.MustParseAddr("fd00:198:18::1")
	}
	return Job{
		Traffic: kind,
		Client:  End{NS: w.client, Device: device, Mark: 0x4d4c},
		Host:    End{NS: w.host, Addr: address},
		Origin:  time.Now(),
		Warmup:  100 * time.Millisecond,
		Until:   time.Minute,
		Seed:    42,
	}
}

func run(t *testing.T, j Job) meter.Outcome {
	t.Helper()
	out, err := Run(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Faults) > 0 || len(out.Notes) > 0 {
		t.Errorf("faults %v, notes %v", out.Faults, out.Notes)
	}
	return out
}

func number(t *testing.T, values map[string]any, path string) float64 {
	t.Helper()
	var at any = values
	for _, key := range strings.Split(path, ".") {
		m, ok := at.(map[string]any)
		if !ok {
			t.Fatalf("no %s in %v", path, values)
		}
		at = m[key]
	}
	switch v := at.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	case int64:
		return float64(v)
	}
	t.Fatalf("%s is %v in %v", path, at, values)
	return 0
}
