package traffic

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/sim/meter"
)

// senderCounts is what kernels tell of the connections they sent on.
type senderCounts struct {
	// segments carried data, retransmits of them not for the first time;
	// spurious are those that their receivers reported to have had already, by
	// duplicate SACK (RFC 2883).
	segments, retransmits, spurious int
	cc                              string // the congestion control in use
}

// readCounts reads a connection's counters; they are zero when it cannot.
func readCounts(conn *net.TCPConn) senderCounts {
	var c senderCounts
	raw, err := conn.SyscallConn()
	if err != nil {
		return c
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			c.segments, c.retransmits = int(info.Data_segs_out), int(info.Total_retrans)
			c.spurious = int(info.Dsack_dups)
		}
		c.cc, _ = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	return c
}

// add adds the counters of another connection.
func (c *senderCounts) add(o senderCounts) {
	c.segments += o.segments
	c.retransmits += o.retransmits
	c.spurious += o.spurious
	if o.cc != "" {
		c.cc = o.cc
	}
}

// spuriousShare is the share of segments that their receivers had already.
func (c *senderCounts) spuriousShare() float64 { return meter.Share(c.spurious, c.segments) }
