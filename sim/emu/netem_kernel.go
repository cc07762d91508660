package emu

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// kernel is what the netem backend asks of the kernel of one namespace. Tests
// record it.
type kernel interface {
	// index returns an interface's number.
	index(name string) (int, error)
	// execute sends a message and waits for its acknowledgement.
	execute(*nl.NetlinkRequest) error
	// qdiscs lists the queueing disciplines of an interface with their
	// counters.
	qdiscs(index int) ([]netlink.Qdisc, error)
	close()
}

// namespaceKernel is the real kernel.
type namespaceKernel struct {
	handle *netlink.Handle
	socket *nl.SocketHandle
}

func newNamespaceKernel(ns netns.NsHandle) (*namespaceKernel, error) {
	handle, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	socket, err := nl.GetNetlinkSocketAt(ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	// Errors then come with the kernel's words, where it has any.
	if err := socket.SetExtAck(true); err != nil {
		handle.Close()
		socket.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &namespaceKernel{handle: handle, socket: &nl.SocketHandle{Socket: socket}}, nil
}

func (k *namespaceKernel) index(name string) (int, error) {
	device, err := k.handle.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("port %s: %w", name, err)
	}
	return device.Attrs().Index, nil
}

func (k *namespaceKernel) execute(r *nl.NetlinkRequest) error {
	r.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: k.socket}
	_, err := r.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// maxDumps is how often a list that changed while it was read is read again.
const maxDumps = 5

func (k *namespaceKernel) qdiscs(index int) (list []netlink.Qdisc, err error) {
	device := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}
	for range maxDumps {
		list, err = k.handle.QdiscList(device)
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

func (k *namespaceKernel) close() {
	k.handle.Close()
	k.socket.Close()
}
