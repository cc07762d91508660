package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/emu"
	"github.com/multilink-vpn/multilink/sim/sniff"
)

// captures writes what passes the links, the tunnel's device and the hosts to
// pcapng files in a folder.
type captures struct {
	folder string
	log    func(format string, args ...any)

	mu       sync.Mutex
	files    map[string]*captureFile
	sniffers []*sniff.Socket
}

// captureFile is one file. Packets are written by a goroutine of its own; what
// it cannot keep up with is dropped and counted.
type captureFile struct {
	queue   chan captured
	dropped atomic.Uint64
	done    chan struct{}
	err     error // of the writer, valid once done
}

// captured is one packet, with the number of the interface it was seen at.
type captured struct {
	at        time.Time
	data      []byte
	length    int
	captureOn int
}

// captureQueue bounds the packets that wait to be written to one file.
const captureQueue = 4096

// The four places of a link at which its capture sees packets.
var linkPlaces = []string{"down-enters", "down-leaves", "up-enters", "up-leaves"}

// newCaptures prepares for captures in a folder, which must exist.
func newCaptures(folder string, log func(string, ...any)) (*captures, error) {
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("captures: %s is no folder", folder)
	}
	return &captures{folder: folder, log: log, files: map[string]*captureFile{}}, nil
}

// file returns the file of a name, made at its first packet.
func (c *captures) file(name string, kind layers.LinkType, interfaces ...string) *captureFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.files[name]
	if !ok {
		f = &captureFile{queue: make(chan captured, captureQueue), done: make(chan struct{})}
		c.files[name] = f
		go func() {
			defer close(f.done)
			f.err = f.write(filepath.Join(c.folder, name+".pcapng"), kind, interfaces)
			for range f.queue { // a full disk must not stop the emulator
				f.dropped.Add(1)
			}
		}()
	}
	return f
}

func (f *captureFile) write(path string, kind layers.LinkType, interfaces []string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	describe := func(name string) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: name, LinkType: kind, TimestampResolution: 9}
	}
	w, err := pcapgo.NewNgWriterInterface(out, describe(interfaces[0]), pcapgo.DefaultNgWriterOptions)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Flush()) }()
	for _, name := range interfaces[1:] {
		if _, err := w.AddInterface(describe(name)); err != nil {
			return err
		}
	}
	for p := range f.queue {
		info := gopacket.CaptureInfo{Timestamp: p.at, CaptureLength: len(p.data), Length: p.length, InterfaceIndex: p.captureOn}
		if err := w.WritePacket(info, p.data); err != nil {
			return err
		}
	}
	return nil
}

func (f *captureFile) add(p captured) {
	select {
	case f.queue <- p:
	default:
		f.dropped.Add(1)
	}
}

// link takes a frame from the emulator, which needs it back.
func (c *captures) link(frame emu.Captured) {
	place := 0
	if frame.Dir == emu.Up {
		place = 2
	}
	if frame.Left {
		place++
	}
	c.file("link-"+frame.Link, layers.LinkTypeEthernet, linkPlaces...).add(captured{
		at: frame.At, data: append([]byte(nil), frame.Frame...), length: len(frame.Frame), captureOn: place,
	})
}

// machines starts the captures at the client's tunnel device, whenever there is
// one, and at the hosts.
func (c *captures) machines(t *topology) error {
	if err := c.sniff(t.client, unix.ARPHRD_NONE, "client-tunnel", layers.LinkTypeRaw); err != nil {
		return err
	}
	for i, host := range t.hosts {
		if err := c.sniff(host, unix.ARPHRD_ETHER, fmt.Sprintf("host-%d", i+1), layers.LinkTypeEthernet); err != nil {
			return err
		}
	}
	return nil
}

// sniffBuffer is asked for at sniffing sockets, in bytes.
const sniffBuffer = 8 << 20

// sniff captures in a machine what passes interfaces of one kind of hardware.
func (c *captures) sniff(m *space, hardware uint16, name string, kind layers.LinkType) error {
	const most = 1<<16 + 64 // a super-packet with its headers
	to := c.file(name, kind, name)
	prepare := func(fd int) error {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sniffBuffer)
		return nil
	}
	s, err := sniff.Open(m.ns, most, prepare, func(p sniff.Packet) {
		if p.Hardware == hardware {
			to.add(captured{at: time.Now(), data: append([]byte(nil), p.Data...), length: p.Length})
		}
	})
	if err != nil {
		return m.errorf(err, "capturing")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sniffers = append(c.sniffers, s)
	return nil
}

// close ends the captures; the emulator must have ended. Drops are told in the
// log.
func (c *captures) close() error {
	var errs []error
	for _, s := range c.sniffers {
		errs = append(errs, s.Close())
	}
	for name, f := range c.files {
		close(f.queue)
		<-f.done
		if f.err != nil {
			errs = append(errs, fmt.Errorf("capture %s: %w", name, f.err))
		}
		if n := f.dropped.Load(); n > 0 {
			c.log("capture %s lacks %d packets that came faster than they could be written", name, n)
		}
	}
	return errors.Join(errs...)
}
