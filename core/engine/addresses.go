package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// serverID is the place of the server's own addresses in the pools: the first.
const serverID = 1

// maxClientID bounds the clients that a large IPv6 pool could number.
const maxClientID = 1 << 20

// pools are the prefixes from which tunnel addresses are made. The addresses
// of client n are the n-th of each pool, so that its id tells them. One of the
// two may be missing (the zero Prefix).
type pools struct{ v4, v6 netip.Prefix }

// last returns the largest client id for which every pool has an address.
func (p pools) last() uint32 {
	last := uint32(maxClientID)
	limit := func(bits, keep int) {
		if bits < 20 {
			last = min(last, uint32(1<<bits-1-keep))
		}
	}
	if p.v4.IsValid() {
		limit(32-p.v4.Bits(), 1) // the last address is the broadcast address
	}
	if p.v6.IsValid() {
		limit(128-p.v6.Bits(), 0)
	}
	return last
}

// of returns the addresses that belong to an id, with the pools' lengths.
func (p pools) of(id uint32) (v4, v6 netip.Prefix) {
	if p.v4.IsValid() {
		v4 = netip.PrefixFrom(nth(p.v4, id), p.v4.Bits())
	}
	if p.v6.IsValid() {
		v6 = netip.PrefixFrom(nth(p.v6, id), p.v6.Bits())
	}
	return v4, v6
}

// id is the reverse of of: false when no client can have the address by its
// number.
func (p pools) id(a netip.Addr) (uint32, bool) {
	prefix := p.v6
	if a.Is4() {
		prefix = p.v4
	}
	if !prefix.IsValid() || !prefix.Contains(a) {
		return 0, false
	}
	base, b := prefix.Masked().Addr().AsSlice(), a.AsSlice()
	n := binary.BigEndian.Uint32(b[len(b)-4:]) - binary.BigEndian.Uint32(base[len(base)-4:])
	if n <= serverID || n > p.last() || nth(prefix, n) != a {
		return 0, false
	}
	return n, true
}

// contains says whether an address is of the tunnel network.
func (p pools) contains(a netip.Addr) bool {
	return p.v4.IsValid() && p.v4.Contains(a) || p.v6.IsValid() && p.v6.Contains(a)
}

func (p pools) String() string {
	switch {
	case !p.v6.IsValid():
		return p.v4.String()
	case !p.v4.IsValid():
		return p.v6.String()
	}
	return fmt.Sprintf("%v and %v", p.v4, p.v6)
}

// nth returns the n-th address of a prefix, whose own address is the 0-th.
// n is less than the prefix has addresses.
func nth(p netip.Prefix, n uint32) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	tail := b[len(b)-4:]
	binary.BigEndian.PutUint32(tail, binary.BigEndian.Uint32(tail)+n)
	a, _ := netip.AddrFromSlice(b)
	return a
}
