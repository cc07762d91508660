package reseq

// seenWords times 64 is the number of sequences a Seen remembers.
const seenWords = 1024

// Seen remembers which sequences of a session have come, so that copies and
// repairs of a packet are delivered once.
type Seen struct {
	words   []uint64
	highest uint32
}

// Mark notes seq and tells whether it is new. What is older than the memory
// reaches counts as seen.
func (s *Seen) Mark(seq uint32) bool {
	if s.words == nil {
		s.words = make([]uint64, seenWords)
		s.highest = seq
	}
	switch ahead := int32(seq - s.highest); {
	case ahead >= seenWords*64:
		clear(s.words)
		s.highest = seq
	case ahead > 0:
		for s.highest != seq {
			s.highest++
			w, bit := s.at(s.highest)
			*w &^= bit
		}
	case ahead <= -seenWords*64:
		return false
	}
	w, bit := s.at(seq)
	if *w&bit != 0 {
		return false
	}
	*w |= bit
	return true
}

// Has tells whether seq has been marked, or is older than the memory reaches.
func (s *Seen) Has(seq uint32) bool {
	if s.words == nil {
		return false
	}
	switch ahead := int32(seq - s.highest); {
	case ahead > 0:
		return false
	case ahead <= -seenWords*64:
		return true
	}
	w, bit := s.at(seq)
	return *w&bit != 0
}

func (s *Seen) at(seq uint32) (word *uint64, bit uint64) {
	return &s.words[seq/64%seenWords], 1 << (seq % 64)
}
