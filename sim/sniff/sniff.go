// Package sniff looks at the packets that pass the interfaces of a network
// namespace, by AF_PACKET (packet(7)).
package sniff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// Packet is what a Socket saw.
type Packet struct {
	// Data begins with the header of the link, if it has one. It is valid until
	// the call returns, and cut off at the size that was asked for.
	Data     []byte
	Length   int    // before that
	Hardware uint16 // the kind of link: unix.ARPHRD_ETHER and others
}

// Socket hands on packets until it is closed.
type Socket struct {
	file *os.File
	done chan struct{}
}

// Open begins to hand on the packets of all interfaces of a namespace, those
// that come and go too, the first size bytes of each. prepare sets the socket's
// options; no packet comes in before.
func Open(ns netns.NsHandle, size int, prepare func(fd int) error, see func(Packet)) (*Socket, error) {
	s := &Socket{done: make(chan struct{})}
	err := nsdo.In(ns, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("packet socket: %w", err)
		}
		if err = prepare(fd); err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: NetworkOrder(unix.ETH_P_ALL)})
		}
		if err != nil {
			return errors.Join(err, unix.Close(fd))
		}
		s.file = os.NewFile(uintptr(fd), "packet socket")
		return nil
	})
	if err != nil {
		return nil, err
	}
	go s.run(size, see)
	return s, nil
}

func (s *Socket) run(size int, see func(Packet)) {
	defer close(s.done)
	raw, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, size)
	for {
		var n int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			n, from, failed = unix.Recvfrom(int(fd), buf, unix.MSG_TRUNC)
			return !errors.Is(failed, unix.EAGAIN)
		})
		if err != nil { // closed
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if failed == nil && ok { // an interface that went down reports itself as a failure
			see(Packet{Data: buf[:min(n, len(buf))], Length: n, Hardware: link.Hatype})
		}
	}
}

// Close ends it; no packet is handed on any more when it returns.
func (s *Socket) Close() error {
	err := s.file.Close()
	<-s.done
	return err
}

// NetworkOrder is a 16-bit number as the kernel takes it in network order.
func NetworkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}
