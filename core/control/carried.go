package control

import (
	"net"

	"golang.org/x/sys/unix"
)

// tcpHeader is what each segment has besides its IP header: TCP's with the time
// stamps that Linux uses (RFC 7323, appendix A).
const tcpHeader = 20 + 12

// Carried is what the connection has carried both ways, in bytes, with
// retransmissions and all headers from the IP header on; 0 when the kernel no
// longer tells, because the connection is closed.
func (c *Conn) Carried() uint64 {
	tcp, ok := c.tls.NetConn().(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var info *unix.TCPInfo
	if raw.Control(func(fd uintptr) { info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }) != nil || err != nil {
		return 0
	}
	header := uint64(tcpHeader + 40)
	if remote, ok := tcp.RemoteAddr().(*net.TCPAddr); ok && remote.IP.To4() != nil {
		header = tcpHeader + 20
	}
	return info.Bytes_sent + info.Bytes_received + header*uint64(info.Segs_out+info.Segs_in)
}
