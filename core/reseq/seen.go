package reseq

// A Seen remembers seenSize sequences, in pages.
const (
	seenPages = 16
	pageWords = 64
	pageSize  = pageWords * 64
	seenSize  = seenPages * pageSize
)

// page has a bit for each of its sequences: set for those that have come.
type page [pageWords]uint64

// complete stands for every page of which all sequences have come. It is
// never written to.
var complete = func() *page {
	var p page
	for i := range p {
		p[i] = ^uint64(0)
	}
	return &p
}()

// Seen remembers which sequences of a session have come, so that copies and
// repairs of a packet are delivered once. It costs up to 8 KiB.
type Seen struct {
	pages   [seenPages]*page // a ring; nil: none of its sequences has come
	highest uint32
	begun   bool
}

// Mark notes seq and tells whether it is new. What is older than the memory
// reaches counts as seen.
func (s *Seen) Mark(seq uint32) bool {
	if !s.begun {
		s.begun, s.highest = true, seq
	}
	switch ahead := int32(seq - s.highest); {
	case ahead >= seenSize:
		clear(s.pages[:])
		s.highest = seq
	case ahead > 0:
		for s.highest != seq {
			s.highest++
			if w, bit := s.at(s.highest); *w&bit != 0 {
				*s.own(s.highest) &^= bit
			}
		}
	case ahead <= -seenSize:
		return false
	}
	w, bit := s.at(seq)
	if *w&bit != 0 {
		return false
	}
	*s.own(seq) |= bit
	return true
}

// Has tells whether seq has been marked, or is older than the memory reaches.
func (s *Seen) Has(seq uint32) bool {
	if !s.begun {
		return false
	}
	switch ahead := int32(seq - s.highest); {
	case ahead > 0:
		return false
	case ahead <= -seenSize:
		return true
	}
	w, bit := s.at(seq)
	return *w&bit != 0
}

// Trim gives back the memory of pages that are complete. Nothing is forgotten.
func (s *Seen) Trim() {
	for i, p := range s.pages {
		if p != nil && *p == *complete {
			s.pages[i] = complete
		}
	}
}

var empty page // what a nil page stands for; never written to

// at returns the word of seq, which may only be read, and its bit.
func (s *Seen) at(seq uint32) (word *uint64, bit uint64) {
	p := s.pages[seq/pageSize%seenPages]
	if p == nil {
		p = &empty
	}
	return &p[seq/64%pageWords], 1 << (seq % 64)
}

// own returns the word of seq in a page of s's own, to be written to.
func (s *Seen) own(seq uint32) *uint64 {
	p := &s.pages[seq/pageSize%seenPages]
	switch *p {
	case nil:
		*p = new(page)
	case complete:
		own := *complete
		*p = &own
	}
	return &(*p)[seq/64%pageWords]
}
