package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// cables is how many unlimited links the two machines have between them.
const cables = 2

// serverHost is the server's address, which every cable leads to.
var serverHost = netip.MustParseAddr("10.77.0.1")

// world is two machines, each a network namespace without a name, and the
// cables between them.
type world struct {
	client, server netns.NsHandle
}

func newWorld() (*world, error) {
	w := &world{client: netns.None(), server: netns.None()}
	err := w.build()
	if err != nil {
		w.close()
		return nil, fmt.Errorf("two network namespaces with cables between them: %w", err)
	}
	return w, nil
}

// close ends the namespaces, which takes everything in them away.
func (w *world) close() {
	for _, ns := range []*netns.NsHandle{&w.client, &w.server} {
		if ns.IsOpen() {
			ns.Close()
		}
	}
}

func (w *world) build() error {
	var err error
	if w.client, err = nsdo.New(); err != nil {
		return err
	}
	if w.server, err = nsdo.New(); err != nil {
		return err
	}
	here, err := netlink.NewHandleAt(w.client)
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := netlink.NewHandleAt(w.server)
	if err != nil {
		return err
	}
	defer there.Close()
	err = errors.Join(
		configure(here, "lo"), configure(there, "lo", netip.PrefixFrom(serverHost, 32)),
		// A cable's own subnet is not the way back of what came over another.
		sysctl(w.client, "ipv4/conf/all/rp_filter", "2"), sysctl(w.server, "ipv4/conf/all/rp_filter", "2"))
	for i := range cables {
		err = errors.Join(err, w.connect(here, there, i))
	}
	return err
}

// connect makes cable i and the client's way over it to the server.
func (w *world) connect(here, there *netlink.Handle, i int) error {
	name := cableName(i)
	err := here.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, TxQLen: -1},
		PeerName:  name, PeerNamespace: netlink.NsFd(int(w.server)),
	})
	if err != nil {
		return err
	}
	gateway := netip.AddrFrom4([4]byte{10, 77, byte(i + 1), 2})
	if err := errors.Join(
		configure(here, name, netip.PrefixFrom(cableAddress(i), 24)),
		configure(there, name, netip.PrefixFrom(gateway, 24))); err != nil {
		return err
	}
	link, err := here.LinkByName(name)
	if err != nil {
		return err
	}
	return here.RouteAdd(&netlink.Route{
		LinkIndex: link.Attrs().Index, Priority: 100 + i, Gw: gateway.AsSlice(),
		Dst: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
	})
}

// cableName is the name of a cable's interface on both machines.
func cableName(i int) string { return fmt.Sprintf("eth%d", i) }

// cableAddress is the client's address on a cable.
func cableAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, byte(i + 1), 1}) }

// configure gives an interface its addresses and sets it up.
func configure(h *netlink.Handle, name string, addresses ...netip.Prefix) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	for _, a := range addresses {
		mask := net.CIDRMask(a.Bits(), a.Addr().BitLen())
		if err := h.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: mask}}); err != nil {
			return fmt.Errorf("address %s on %s: %w", a, name, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("interface %s up: %w", name, err)
	}
	return nil
}

// sysctl sets net/KEY inside a namespace.
func sysctl(ns netns.NsHandle, key, value string) error {
	return nsdo.In(ns, func() error { return os.WriteFile("/proc/sys/net/"+key, []byte(value), 0) })
}
