// Package classify says what an inner packet is.
package classify

import (
	"encoding/binary"

	"github.com/multilink-vpn/multilink/core/gso"
)

// Valid tells whether p begins with an IP header whose length fits p.
func Valid(p []byte) bool {
	if len(p) < 20 {
		return false
	}
	switch p[0] >> 4 {
	case 4:
		total := int(binary.BigEndian.Uint16(p[2:]))
		return p[0]&0x0f >= 5 && int(p[0]&0x0f)*4 <= len(p) && total == len(p)
	case 6:
		return len(p) >= 40 && 40+int(binary.BigEndian.Uint16(p[4:])) == len(p)
	}
	return false
}

// Flow returns a hash of the addresses, the protocol and, where they can be
// seen, the ports of p, which must be Valid, or a super-packet. Packets of one
// flow and direction have the same hash.
func Flow(p []byte) uint32 {
	h := hash(fnvOffset)
	var addresses []byte
	if p[0]>>4 == 4 {
		addresses = p[12:20]
		h = h.add(uint32(p[9]))
	} else {
		addresses = p[8:40]
		h = h.add(uint32(p[6]))
	}
	for ; len(addresses) >= 4; addresses = addresses[4:] {
		h = h.add(binary.BigEndian.Uint32(addresses))
	}
	if t := ports(p); t >= 0 {
		h = h.add(binary.BigEndian.Uint32(p[t:]))
	}
	return h.sum()
}

// Answer returns what Flow gives for the other direction of the flow of p.
func Answer(p []byte) uint32 {
	h := hash(fnvOffset)
	from, to := p[12:16], p[16:20]
	if p[0]>>4 == 4 {
		h = h.add(uint32(p[9]))
	} else {
		from, to = p[8:24], p[24:40]
		h = h.add(uint32(p[6]))
	}
	for _, address := range [2][]byte{to, from} {
		for ; len(address) >= 4; address = address[4:] {
			h = h.add(binary.BigEndian.Uint32(address))
		}
	}
	if t := ports(p); t >= 0 {
		v := binary.BigEndian.Uint32(p[t:])
		h = h.add(v<<16 | v>>16)
	}
	return h.sum()
}

// ports returns the offset of the transport's ports, or -1 where there are
// none or they cannot be seen in every packet of the flow (fragments).
func ports(p []byte) int {
	if p[0]>>4 == 6 {
		if (p[6] == gso.ProtocolTCP || p[6] == gso.ProtocolUDP) && len(p) >= 44 {
			return 40
		}
		return -1
	}
	ihl := int(p[0]&0x0f) * 4
	fragment := binary.BigEndian.Uint16(p[6:])&0x3fff != 0
	if (p[9] == gso.ProtocolTCP || p[9] == gso.ProtocolUDP) && !fragment && len(p) >= ihl+4 {
		return ihl
	}
	return -1
}

// hash is FNV-1a over words, with a final mix so that all bits count.
type hash uint64

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (h hash) add(v uint32) hash { return (h ^ hash(v)) * fnvPrime }

func (h hash) sum() uint32 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return uint32(h >> 32)
}
