package tun

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// portableDevice moves one packet per system call. The kernel completes every
// packet it hands over, and wants complete ones.
type portableDevice struct {
	counters
	iface *water.Interface
	info  Info

	writeMu  sync.Mutex
	expander expander
}

// openPortable makes the interface; reason says why it is not a fast one.
func openPortable(o Options, reason string) (Device, error) {
	iface, err := water.New(water.Config{
		DeviceType:             water.TUN,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: o.Name},
	})
	if err != nil {
		return nil, explain(o.Name, err)
	}
	if _, err = configure(o); err == nil {
		err = closeOnExec(iface)
	}
	if err != nil {
		_ = iface.Close()
		return nil, err
	}
	return &portableDevice{
		iface: iface,
		info:  Info{Mode: ModePortable, Offloads: []string{}, Queues: 1, Reason: reason},
	}, nil
}

// closeOnExec keeps the device from the programs this process starts, which
// water does not do: the interface would live as long as they.
func closeOnExec(iface *water.Interface) error {
	raw, err := iface.ReadWriteCloser.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) })
}

func (d *portableDevice) Name() string { return d.iface.Name() }

func (d *portableDevice) Queues() []Queue { return []Queue{d} }

func (d *portableDevice) Info() Info { return d.info }

func (d *portableDevice) Close() error { return d.iface.Close() }

// failed returns the error that a Read or Write ended with.
func (d *portableDevice) failed(what string, err error) error {
	if errors.Is(err, os.ErrClosed) {
		return os.ErrClosed
	}
	return fmt.Errorf("tun: %s %s: %w", what, d.Name(), err)
}

func (d *portableDevice) Read(b *Batch) error {
	b.reset()
	n, err := d.iface.Read(b.room())
	if err != nil {
		return d.failed("read from", err)
	}
	b.Packets = append(b.Packets, core.Packet{Data: b.arena[:n:n]})
	d.readBatches.Add(1)
	d.readPackets.Add(1)
	return nil
}

func (d *portableDevice) Write(pkts []core.Packet) error {
	d.writeMu.Lock()
	defer d.writeMu.Unlock()
	d.writePackets.Add(uint64(len(pkts)))
	for _, p := range d.expander.expand(pkts, &d.counters) {
		if p.Partial && gso.Complete(p.Data) != nil {
			d.writeMalformed.Add(1)
			continue
		}
		_, err := d.iface.Write(p.Data)
		if err = d.wrote(err); err != nil {
			return d.failed("write to", err)
		}
	}
	return nil
}
