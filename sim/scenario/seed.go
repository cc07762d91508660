package scenario

import (
	"encoding/binary"
	"hash/fnv"
)

// DeriveSeed derives the seed of a part of a run from the scenario's, so that a
// change to one part leaves the randomness of the others alone.
func DeriveSeed(seed uint64, parts ...string) uint64 {
	h := fnv.New64a()
	_ = binary.Write(h, binary.BigEndian, seed) // a hash takes everything
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum64()
}
