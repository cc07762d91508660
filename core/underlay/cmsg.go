package underlay

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oobLen is the room for the control messages of one message: packet
// information of either family, a segment size and a time.
const oobLen = 128

// Offsets in struct in_pktinfo and struct in6_pktinfo of the local address.
const (
	pktinfo4Local = 4 // ipi_spec_dst
	pktinfo6Local = 0 // ipi6_addr
)

// received is what the control messages of a received message say.
type received struct {
	segment int        // UDP_GRO: size of each datagram of a run; 0: not a run
	local   netip.Addr // address the message was sent to
	at      int64      // when the kernel received it, ns since 1970; 0: not known
}

// parseControl reads control messages. Those it does not know are skipped, and
// so is a rest that is too short for one, as by CMSG_NXTHDR (cmsg(3)).
func parseControl(oob []byte) (received, error) {
	var r received
	for len(oob) >= unix.SizeofCmsghdr {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return r, err
		}
		oob = rest
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			r.segment = int(int32(binary.NativeEndian.Uint32(data)))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			r.local = netip.AddrFrom4([4]byte(data[pktinfo4Local:]))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			r.local = netip.AddrFrom16([16]byte(data[pktinfo6Local:])).Unmap()
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SCM_TIMESTAMPNS && len(data) >= int(unsafe.Sizeof(unix.Timespec{})):
			r.at = (*unix.Timespec)(unsafe.Pointer(&data[0])).Nano()
		}
	}
	if r.segment < 0 {
		return r, errors.New("underlay: negative segment size")
	}
	return r, nil
}

// appendControl appends a control message with room for n bytes of data, and
// returns that room too.
func appendControl(oob []byte, level, kind int32, n int) (all, data []byte) {
	from, space := len(oob), unix.CmsgSpace(n)
	oob = slices.Grow(oob, space)[:from+space]
	clear(oob[from:])
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[from]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(n))
	return oob, oob[from+unix.CmsgLen(0):][:n]
}

// appendLocal appends the control message that sends from the address local.
// A socket for both families takes IPv4 addresses in their mapped form.
func appendLocal(oob []byte, v6 bool, local netip.Addr) []byte {
	var data []byte
	if v6 {
		oob, data = appendControl(oob, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		addr := local.As16()
		copy(data[pktinfo6Local:], addr[:])
		return oob
	}
	oob, data = appendControl(oob, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	addr := local.As4()
	copy(data[pktinfo4Local:], addr[:])
	return oob
}

// appendSegment appends the control message that sends a run of datagrams of
// segment bytes.
func appendSegment(oob []byte, segment int) []byte {
	oob, data := appendControl(oob, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, uint16(segment))
	return oob
}

// rawAddr is a struct sockaddr_in or sockaddr_in6:
//
//	family(2) port(2) address(4)                          IPv4
//	family(2) port(2) flowinfo(4) address(16) scope_id(4) IPv6
//
// The port is in network byte order, family and scope in the host's.
type rawAddr [unix.SizeofSockaddrInet6]byte

// set writes an address for a socket of the given family and returns the
// length of the structure. The address must be of that family, or IPv4 for a
// socket of both.
func (r *rawAddr) set(v6 bool, a netip.AddrPort) uint32 {
	*r = rawAddr{}
	binary.BigEndian.PutUint16(r[2:], a.Port())
	if !v6 {
		binary.NativeEndian.PutUint16(r[:], unix.AF_INET)
		ip := a.Addr().As4()
		copy(r[4:], ip[:])
		return unix.SizeofSockaddrInet4
	}
	binary.NativeEndian.PutUint16(r[:], unix.AF_INET6)
	ip := a.Addr().As16()
	copy(r[8:], ip[:])
	binary.NativeEndian.PutUint32(r[24:], zoneIndex(a.Addr().Zone()))
	return unix.SizeofSockaddrInet6
}

// zoneIndex is the interface index that the zone of a link-local address is,
// as withScope makes it; 0 when there is none.
func zoneIndex(zone string) uint32 {
	if zone == "" {
		return 0
	}
	index, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(index)
}

// addrPort reads the address. The zone of a link-local address is the
// interface's index.
func (r *rawAddr) addrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(r[2:])
	if binary.NativeEndian.Uint16(r[:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(r[4:])), port)
	}
	ip := netip.AddrFrom16([16]byte(r[8:])).Unmap()
	return netip.AddrPortFrom(withScope(ip, binary.NativeEndian.Uint32(r[24:])), port)
}

// withScope gives a link-local address its interface's index as zone.
func withScope(ip netip.Addr, scope uint32) netip.Addr {
	if scope == 0 || !ip.Is6() || !ip.IsLinkLocalUnicast() {
		return ip
	}
	return ip.WithZone(strconv.FormatUint(uint64(scope), 10))
}

// errFamily says that a socket cannot reach an address.
var errFamily = errors.New("the socket is of the other address family")

// reaches says whether a socket of the given family can send to remote from
// local, which may be the zero address.
func reaches(v6 bool, remote netip.AddrPort, local netip.Addr) error {
	switch {
	case !remote.IsValid():
		return unix.EDESTADDRREQ
	case !v6 && !remote.Addr().Unmap().Is4():
		return errFamily
	case local.IsValid() && local.Unmap().Is4() != remote.Addr().Unmap().Is4():
		return errFamily
	}
	return nil
}
