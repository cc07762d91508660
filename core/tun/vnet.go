package tun

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"github.com/multilink-vpn/multilink/core"
	"github.com/multilink-vpn/multilink/core/gso"
)

// vnetLen is the length of the header that goes before each packet, struct
// virtio_net_hdr of linux/virtio_net.h, in the host's byte order:
//
//	 0      1          2        4         6           8             10
//	+------+----------+--------+---------+-----------+-------------+
//	| flags| gso_type | hdr_len| gso_size| csum_start| csum_offset |
//	+------+----------+--------+---------+-----------+-------------+
const vnetLen = 10

var errVnet = errors.New("tun: vnet header contradicts its packet")

// decodeVnet reads a packet with its vnet header. The packet's bytes stay
// where they are. A checksum left undone where core.Packet cannot express it,
// as behind an IPv6 extension header, is completed.
//
// hdr_len is ignored: the kernel does not keep it exact.
func decodeVnet(frame []byte) (core.Packet, error) {
	if len(frame) <= vnetLen {
		return core.Packet{}, errVnet
	}
	p := frame[vnetLen:len(frame):len(frame)]
	if v := p[0] >> 4; v != 4 && v != 6 {
		return core.Packet{}, gso.ErrVersion
	}
	needsChecksum := frame[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0
	gsoType := frame[1] &^ unix.VIRTIO_NET_HDR_GSO_ECN
	size := int(binary.NativeEndian.Uint16(frame[4:]))
	start := int(binary.NativeEndian.Uint16(frame[6:]))
	offset := int(binary.NativeEndian.Uint16(frame[8:]))

	if gsoType == unix.VIRTIO_NET_HDR_GSO_NONE && !needsChecksum {
		return core.Packet{Data: p}, nil
	}
	h, err := gso.ParseHeaders(p)
	plain := err == nil && h.Total == len(p) && h.Transport == start && h.ChecksumOffset() == offset
	if gsoType == unix.VIRTIO_NET_HDR_GSO_NONE {
		if plain {
			return core.Packet{Data: p, Partial: true}, nil
		}
		return core.Packet{Data: p}, gso.CompleteAt(p, start, offset)
	}
	if !plain || !needsChecksum || size == 0 || len(p) == h.Len || gsoType != vnetType(h) {
		return core.Packet{}, errVnet
	}
	return core.Packet{Data: p, Segment: size, Partial: true}, nil
}

// encodeVnet writes the header that goes before a group.
func encodeVnet(header *[vnetLen]byte, g *gso.Group) {
	*header = [vnetLen]byte{}
	if !g.Partial {
		return
	}
	header[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	if g.Segment > 0 {
		header[1] = vnetType(g.Headers)
		binary.NativeEndian.PutUint16(header[2:], uint16(g.Headers.Len))
		binary.NativeEndian.PutUint16(header[4:], uint16(g.Segment))
	}
	binary.NativeEndian.PutUint16(header[6:], uint16(g.Headers.Transport))
	binary.NativeEndian.PutUint16(header[8:], uint16(g.Headers.ChecksumOffset()))
}

// vnetType is the gso_type of a super-packet with headers h.
func vnetType(h gso.Headers) byte {
	switch {
	case h.Protocol == gso.ProtocolUDP:
		return unix.VIRTIO_NET_HDR_GSO_UDP_L4
	case h.V6:
		return unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	return unix.VIRTIO_NET_HDR_GSO_TCPV4
}
