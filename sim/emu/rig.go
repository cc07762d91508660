package emu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// rig is the smallest topology: client and server endpoints in a namespace
// each, and the namespace between them. The i-th link has the interface "c<i>"
// at the client, "s<i>" at the server, and the ports "mc<i>" and "ms<i>". The
// namespaces have no name and vanish with the rig.
type rig struct {
	client, middle, server netns.NsHandle
}

func newRig() (*rig, error) {
	r := &rig{client: netns.None(), middle: netns.None(), server: netns.None()}
	for _, ns := range []*netns.NsHandle{&r.client, &r.middle, &r.server} {
		var err error
		if *ns, err = nsdo.New(); err == nil {
			err = nsdo.In(*ns, disableIPv6)
		}
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
	}
	return r, nil
}

// disableIPv6 keeps the kernel's own chatter (neighbour and multicast listener
// discovery) out of the calling thread's namespace.
func disableIPv6() error {
	for _, which := range []string{"all", "default"} {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// plug makes the interfaces of the i-th link.
func (r *rig) plug(i int) error {
	return errors.Join(
		r.cable(fmt.Sprintf("mc%d", i), r.client, fmt.Sprintf("c%d", i)),
		r.cable(fmt.Sprintf("ms%d", i), r.server, fmt.Sprintf("s%d", i)))
}

// cable makes a veth pair from the middle namespace to an endpoint's.
func (r *rig) cable(port string, endpoint netns.NsHandle, name string) error {
	handle, err := netlink.NewHandleAt(r.middle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: port},
		PeerName:      name,
		PeerNamespace: netlink.NsFd(endpoint),
	}
	if err := handle.LinkAdd(veth); err != nil {
		return fmt.Errorf("make veth %s-%s: %w", port, name, err)
	}
	if err := handle.LinkSetUp(veth); err != nil {
		return fmt.Errorf("set %s up: %w", port, err)
	}
	return nsdo.In(endpoint, func() error {
		if err := DisableTxChecksum(name); err != nil {
			return err
		}
		peer, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(peer)
	})
}

// unplug deletes the interfaces of the i-th link.
func (r *rig) unplug(i int) error {
	handle, err := netlink.NewHandleAt(r.middle, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer handle.Close()
	for _, port := range []string{fmt.Sprintf("mc%d", i), fmt.Sprintf("ms%d", i)} {
		if err := handle.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port}}); err != nil {
			return fmt.Errorf("delete %s: %w", port, err)
		}
	}
	return nil
}

func (r *rig) close() error {
	var errs []error
	for _, ns := range []*netns.NsHandle{&r.client, &r.middle, &r.server} {
		if ns.IsOpen() {
			errs = append(errs, ns.Close())
		}
	}
	return errors.Join(errs...)
}
