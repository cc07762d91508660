package engine

import (
	"errors"
	"runtime"

	"github.com/multilink-vpn/multilink/core/underlay"
)

// maxReaders bounds the server's sockets, each of which has a reader with a
// megabyte for what it reads.
const maxReaders = 8

// readers is how many sockets a server opens, so that it can work for several
// clients at once: one for each processor.
func readers() int { return min(runtime.GOMAXPROCS(0), maxReaders) }

// ways is over how many queues of its TUN, for each kind of packet, a server spreads
// its clients. Those in one queue wait for one another, and find it full when one of
// them is sent more than the server can seal: they are to be few, however few
// processors there are. A queue has a reader with 100 KB for what it reads.
const ways = 8

// sockets are those of a server, all on one port.
type sockets []underlay.Conn

// of is the socket over which a link sends: always the same, for order, and
// not one for all, which would have them wait for one another.
func (s sockets) of(index uint32) underlay.Conn { return s[index%uint32(len(s))] }

// Close closes all of them.
func (s sockets) Close() error {
	var errs []error
	for _, c := range s {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
