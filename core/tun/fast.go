package tun

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// offload is a set of what the kernel may leave undone on packets it hands
// over.
type offload struct {
	flags int // of TUNSETOFFLOAD
	names []string
}

// offloadLadder is tried from the top: USO came with Linux 6.2. Each rung's
// names are the first of the rung's above it.
var offloadLadder = []offload{
	{unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_USO4 | unix.TUN_F_USO6,
		[]string{"csum", "tso4", "tso6", "uso4", "uso6"}},
	{unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN,
		[]string{"csum", "tso4", "tso6"}},
	{0, []string{}},
}

// maxSegments is the bound set on super-packets: as many full-sized segments
// as one UDP send takes, once sealed.
const maxSegments = 45

// queueLength is the length of the kernel's queue in front of the reader, in
// packets. What finds it full is dropped, and a TCP sender takes that for
// congestion of the tunnel. The kernel's 500 are 20 ms of 300 Mbit/s in single
// segments: a reader on a busy host finds no processor for longer. The signal of
// congestion is the session's; this queue is to be long enough, and empty.
const queueLength = 4000

// fastDevice exchanges packets with vnet headers.
type fastDevice struct {
	counters
	name     string
	info     Info
	queues   []*fastQueue
	closed   atomic.Bool
	checksum bool // the kernel completes checksums
	// joinTCP and joinUDP: it takes super-packets.
	joinTCP, joinUDP bool
}

// openFast makes the interface with vnet headers, with the first set of
// offloads in k.ladder that the kernel takes, and with several queues where it
// can.
func openFast(o Options, k kernel) (Device, error) {
	d := &fastDevice{name: o.Name}
	fds, err := openQueues(o, k)
	if err != nil {
		d.lacks("one queue: " + err.Error())
		var fd int
		if fd, err = openQueue(o.Name, 0); err != nil {
			return nil, err
		}
		fds = []int{fd}
	}
	link, err := d.setUp(fds[0], o, k.ladder)
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	if len(fds) > 1 {
		withoutQdisc(link)
	}
	// From here on the runtime's poller waits for the device. It refuses one
	// that is not attached to an interface yet.
	for _, fd := range fds {
		err = errors.Join(err, d.addQueue(os.NewFile(uintptr(fd), "/dev/net/tun")))
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("tun: interface %s: %w", o.Name, err)
	}
	d.info.Queues = len(fds)
	return d, nil
}

// setUp prepares the interface that fd is attached to.
func (d *fastDevice) setUp(fd int, o Options, ladder []offload) (netlink.Link, error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		return nil, fmt.Errorf("%w of %d bytes: %w", errNoFastMode, vnetLen, err)
	}
	if err := d.setOffloads(fd, ladder); err != nil {
		return nil, err
	}
	link, err := configure(o)
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetGSOMaxSegs(link, maxSegments); err != nil {
		d.lacks(fmt.Sprintf("no bound of %d segments on super-packets: %v", maxSegments, err))
	} else {
		d.info.MaxSegments = maxSegments
	}
	return link, nil
}

// withoutQdisc takes the queueing disciplines away that the kernel would make
// for each of the 256 queues an interface with several can have, 3 to 16 MB in
// all. None of them ever holds a packet: a TUN takes all, or drops it when its
// queue is full, which without a discipline the local sender is told at once.
func withoutQdisc(link netlink.Link) {
	_ = netlink.QdiscReplace(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT},
		QdiscType:  "noqueue",
	})
}

// lacks notes why something is not in use.
func (d *fastDevice) lacks(reason string) {
	if d.info.Reason != "" {
		reason = d.info.Reason + "; " + reason
	}
	d.info.Reason = reason
}

// setOffloads takes the first rung of the ladder that holds.
func (d *fastDevice) setOffloads(fd int, ladder []offload) error {
	var err error
	for i, rung := range ladder {
		if err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, rung.flags); err != nil {
			continue
		}
		d.info.Mode, d.info.Offloads = ModeFast, rung.names
		if i > 0 {
			missing := ladder[0].names[len(rung.names):]
			d.lacks("this kernel's TUN does not offer " + strings.Join(missing, ", "))
		}
		d.checksum = rung.flags&unix.TUN_F_CSUM != 0
		d.joinTCP = rung.flags&unix.TUN_F_TSO4 != 0
		d.joinUDP = rung.flags&unix.TUN_F_USO4 != 0
		return nil
	}
	return fmt.Errorf("%w and offloads: %w", errNoFastMode, err)
}

// configure sets the length of the interface's queue, and its MTU where one is
// asked for.
func configure(o Options) (netlink.Link, error) {
	link, err := netlink.LinkByName(o.Name)
	if err != nil {
		return nil, fmt.Errorf("tun: interface %s: %w", o.Name, err)
	}
	// A shorter queue drops more on a busy host, and is no reason to stay without.
	_ = netlink.LinkSetTxQLen(link, queueLength)
	if o.MTU != 0 {
		if err := netlink.LinkSetMTU(link, o.MTU); err != nil {
			return nil, fmt.Errorf("tun: interface %s: MTU %d: %w", o.Name, o.MTU, err)
		}
	}
	return link, nil
}

func (d *fastDevice) Name() string { return d.name }

func (d *fastDevice) Queues() []Queue {
	var all []Queue
	for _, q := range d.queues {
		all = append(all, q)
	}
	return all
}

func (d *fastDevice) Info() Info { return d.info }

func (d *fastDevice) Close() error {
	d.closed.Store(true)
	var err error
	for _, q := range d.queues {
		err = errors.Join(err, q.file.Close())
	}
	return err
}

// failed returns the error that a Read or Write ended with.
func (d *fastDevice) failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case d.closed.Load():
		return os.ErrClosed
	}
	return fmt.Errorf("tun: %s %s: %w", what, d.name, err)
}
