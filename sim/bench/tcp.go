package bench

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netns"

	"github.com/multilink-vpn/multilink/sim/nsdo"
)

// block is what one call of the streams reads or writes, in bytes.
const block = 128 << 10

func listenTCP(ns netns.NsHandle, at netip.Addr) (l net.Listener, err error) {
	err = nsdo.In(ns, func() error {
		l, err = net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
		return err
	})
	return l, err
}

func dialTCP(ctx context.Context, ns netns.NsHandle, to string, patience time.Duration) (c net.Conn, err error) {
	err = nsdo.In(ns, func() error {
		// No happy eyeballs: those would make the socket in another goroutine.
		c, err = (&net.Dialer{Timeout: patience, FallbackDelay: -1}).DialContext(ctx, "tcp", to)
		return err
	})
	return c, err
}

// streams are TCP connections through a tunnel that carry as much as they can
// from one machine to the other.
type streams struct {
	from, to []net.Conn
	received atomic.Int64 // bytes
	running  sync.WaitGroup
}

// openStreams connects them; up says that the client sends.
func openStreams(ctx context.Context, t *tunnel, n int, up bool) (*streams, error) {
	listener, err := listenTCP(t.world.server, t.server)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	s := &streams{}
	for range n {
		near, err := dialTCP(ctx, t.world.client, listener.Addr().String(), upPatience)
		if err != nil {
			s.close()
			return nil, err
		}
		far, err := listener.Accept()
		if err != nil {
			near.Close()
			s.close()
			return nil, err
		}
		if up {
			s.from, s.to = append(s.from, near), append(s.to, far)
		} else {
			s.from, s.to = append(s.from, far), append(s.to, near)
		}
	}
	return s, nil
}

// start makes the streams run until close.
func (s *streams) start() {
	for _, c := range s.from {
		s.running.Go(func() {
			for data := make([]byte, block); ; {
				if _, err := c.Write(data); err != nil {
					return
				}
			}
		})
	}
	for _, c := range s.to {
		s.running.Go(func() {
			for data := make([]byte, block); ; {
				n, err := c.Read(data)
				s.received.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
}

// close cuts the streams without waiting for what is on its way.
func (s *streams) close() {
	for _, c := range append(s.from, s.to...) {
		_ = c.(*net.TCPConn).SetLinger(0) // reset: nothing is left to drain
		_ = c.Close()
	}
	s.running.Wait()
}
