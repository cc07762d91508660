package engine

import "net/netip"

// addressesOf reads the source and destination of an inner packet; false when
// it is not an IP packet with a whole header.
func addressesOf(p []byte) (src, dst netip.Addr, ok bool) {
	if len(p) == 0 {
		return src, dst, false
	}
	switch {
	case p[0]>>4 == 4 && len(p) >= 20:
		return netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), true
	case p[0]>>4 == 6 && len(p) >= 40:
		return netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), true
	}
	return src, dst, false
}
